"""Texts of a contract as Python source. Whatever a text has, it stays a text."""

import textwrap

_WIDTH = 100


def literal(text: str) -> str:
    """Return a text as a literal of one line."""
    written = repr(text)
    return f'"{written[1:-1]}"' if not {'"', "'"} & set(written[1:-1]) else written


def docstring(*paragraphs: str, indent: str = "") -> str:
    """Return paragraphs as a docstring; blanks and line ends within a paragraph become single blanks."""
    wrapped = [_wrapped(paragraph, indent) for paragraph in paragraphs if paragraph.strip()]
    body = "\n\n".join(wrapped)
    end = f"\n{indent}" if "\n" in body else ""
    return f'{indent}"""{body.removeprefix(indent)}{end}"""'


def _wrapped(paragraph: str, indent: str) -> str:
    source = " ".join(map(_escaped, paragraph.split()))
    return textwrap.fill(
        source,
        width=_WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _escaped(word: str) -> str:
    return "".join(_source_of(character) for character in word)


def _source_of(character: str) -> str:
    if character in '\\"':
        return f"\\{character}"
    # Also what would change the direction of the text around it.
    return character if character.isprintable() else ascii(character)[1:-1]
