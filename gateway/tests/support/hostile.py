"""Names and values that would change a page if it took them for more than text."""

SCRIPT = "<script>window.hurt = true</script>"
QUOTES = """"'><img src=x onerror="window.hurt = true">`{{ 7919 * 7927 }}"""
TURNED = "user\u202egnp.exe\u2066\u200f"
HIDDEN = "a\x00b\u200bc\ud800"
LONG = "x" * 100_000
HOSTILE = (SCRIPT, QUOTES, TURNED, HIDDEN, LONG)
"""All of them."""
