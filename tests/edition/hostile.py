"""What a hostile author would write."""

PAYLOAD = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}</textarea>&amp;]]>"
