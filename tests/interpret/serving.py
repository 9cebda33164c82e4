"""A server of the page in a thread."""

import threading
from contextlib import contextmanager

from theodolite.envs import worlds
from theodolite.interpret import contrastive
from theodolite.interpret.asking import Subject
from theodolite.interpret.asking_server import Server


def subject(name: str, **options) -> Subject:
    """The optimal agent in a world."""
    told = worlds.WORLDS[worlds.SHORT[name]](**options)
    return Subject(told.world, contrastive.train(told.world, told.reward), command=name)


@contextmanager
def serving(asked: Subject, **options):
    """The server, until the block ends."""
    server = Server(asked, 0, **options)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
