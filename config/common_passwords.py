"""Passwords that are tried first: long ones of breached lists are short common words, runs and years put together.

Source: the entries of 15 and more characters in the public lists of most used passwords (Have I Been Pwned's
top 100,000 as published by the NCSC, 2019, and SecLists' 10-million-password list, 2017) are nearly all of that
kind, so what is refused is the kind and not the list.
"""

import itertools
from typing import Final

_TEXT: Final = """
access account admin administrator alexander amanda america andrew angel angels anthony apple april asdf ashley
august austin baby babygirl bailey banana barcelona baseball basketball batman beautiful bitcoin blink brandon
broker buster butterfly change changeme charlie cheese chelsea chocolate christian christopher classic computer
cookie correcthorse correcthorsebatterystaple daniel december default diamond dollar dragon eagle eight elizabeth
energy family five football forever four freedom friend friends gateway george ginger google grace guest hannah
happy harley hello hockey hunter iceman iloveyou internet jackson january jasmine jason jennifer jessica jesus
jonathan jordan joseph joshua junior justin killer king knight letmein liverpool login london love lovely loveme
lover madison maggie market martin master matrix matthew maverick melissa mercedes michael michelle money monkey
morgan mother mustang myspace naruto nicole nine nothing number october one orange pass passport passw0rd password
patrick pepper phoenix please pokemon princess purple qazwsx qwert qwerty rainbow robert samantha secret september
seven shadow silver six soccer spiderman starwars steven stock strong summer sunshine superman superstar ten test
testing thomas three thunder tigger trade tradebot trader trading trustno trustnoone two user welcome whatever
william winter wordpass yankees
"""
_WORDS: Final = frozenset(_TEXT.split())
_RUNS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qazwsxedcrfvtgbyhnujmikolp",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1q2w3e4r5t6y7u8i9o0p",
)
_REPEATED_MAX: Final = 4
_RUN_CHARS_MIN: Final = 3
#: What people write for a letter; a password is looked at as typed and with these read as letters.
_LEET: Final = str.maketrans("013457@$!", "oleastasi")
#: How many pieces a common password is made of at most; four unusual words are none of them, and pass.
_PIECES_MAX: Final = 6


def is_common(password: str) -> bool:
    """Tell whether a password is made of nothing but common words, runs on a keyboard, repeats and years."""
    lower = "".join(letter for letter in password.lower() if letter.isalnum() or letter in "@$!")
    return any(_is_made_of_pieces(text) for text in {lower, lower.translate(_LEET)})


def _is_made_of_pieces(text: str) -> bool:
    if len(text) > 256:
        return False
    pieces: list[int | None] = [0, *itertools.repeat(None, len(text))]
    for start in range(len(text)):
        made_of = pieces[start]
        if made_of is None or made_of >= _PIECES_MAX:
            continue
        for end in range(start + 1, len(text) + 1):
            known = pieces[end]
            if (known is None or known > made_of + 1) and _is_piece(text[start:end]):
                pieces[end] = made_of + 1
    return pieces[-1] is not None


def _is_piece(text: str) -> bool:
    if text in _WORDS or text in {"!", "@", "$"}:
        return True
    if len(text) < _RUN_CHARS_MIN:
        return text.isdigit()
    if len(text) == 4 and text.isdigit() and text[:2] in {"19", "20"}:
        return True
    return any(text in line or text[::-1] in line for line in _RUNS) or _is_repeat(text)


def _is_repeat(text: str) -> bool:
    """Tell whether a text is one character, or something short, over and over."""
    length = len(text)
    sizes = [size for size in range(1, _REPEATED_MAX + 1) if length % size == 0 and length // size > 2]
    return len(set(text)) == 1 or any(text == text[:size] * (length // size) for size in sizes)
