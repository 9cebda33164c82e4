"""Grid worlds: the drawn map is the world, and the monster obeys its rules."""

import numpy as np
import pytest

from theodolite.core.errors import UserError
from theodolite.envs import grids


@pytest.mark.parametrize("name", list(grids.MAPS))
def test_every_action_leads_somewhere_and_every_state_is_one_event(name):
    world = grids.grid(name, slip=0.1)
    np.testing.assert_allclose(np.asarray(world.transition.sum(1)).ravel(), 1, atol=1e-12)
    np.testing.assert_array_equal(sum(mask.astype(int) for mask in world.events.values()), 1)
    assert not world.over[world.start]
    assert world.over.sum() == 3


def test_without_slip_a_move_goes_where_it_points():
    world = grids.grid("cliff")
    for s in np.flatnonzero(~world.over):
        x, y = world.cells[s]
        for a, (dx, dy) in enumerate(grids.MOVES):
            to = int(world.transition[[s * 4 + a]].toarray()[0].argmax())
            tx, ty = np.clip([x + dx, y + dy], 0, [11, 3])
            if ty == 0 and 0 < tx < 11:
                assert world.events["fall into a trap"][to]
            elif (tx, ty) == (11, 0):
                assert world.events["reach the goal"][to]
            else:
                assert tuple(world.cells[to]) == (tx, ty)
            assert world.blocked[s, a] == ((tx, ty) == (x, y))


def test_the_monster_comes_nearer_inside_its_territory_alone():
    world = grids.grid("monster-grid")
    red = world.things["territory"]
    assert red.sum() == 18
    for s in np.flatnonzero(~world.over):
        for a in range(4):
            to = int(world.transition[[s * 4 + a]].toarray()[0].argmax())
            if world.over[to]:
                continue
            agent, before, after = (tuple(v) for v in (world.cells[to], world.monsters[s], world.monsters[to]))
            assert red[after]
            if not red[agent]:
                assert after == before
            else:
                assert abs(after[0] - before[0]) + abs(after[1] - before[1]) <= 1


def test_slip_mixes_all_moves():
    still, slippery = grids.grid("cliff"), grids.grid("cliff", slip=0.4)
    even = sum(still.transition.toarray().reshape(-1, 4, len(still.cells))[:, a] for a in range(4)) / 4
    mixed = 0.6 * still.transition.toarray().reshape(-1, 4, len(still.cells)) + 0.4 * even[:, None]
    np.testing.assert_allclose(slippery.transition.toarray().reshape(mixed.shape), mixed, atol=1e-12)


def test_bad_worlds_are_refused():
    with pytest.raises(UserError, match="Did you mean cliff"):
        grids.grid("clif")
    with pytest.raises(UserError, match="between 0 and 1"):
        grids.grid("cliff", slip=2)
    for start in ((3, 0), (40, 0)):
        with pytest.raises(UserError, match="free cell"):
            grids.grid("cliff", start=start)
