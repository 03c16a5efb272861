"""The seeded generator of `messages`: short messages, spam or not.

    python -m whichtune.embedded.generate_messages FOLDER

Words alone do not decide. Many messages weigh a risky act against a safe one in a frame that both
classes share ("pay the fee before you call the bank", "call the bank before you pay the fee"): what comes
first, or what is told not to be done, makes it spam or not. Others quote a lure in order to warn of it, or
deny being what they are, or use a lure's words in everyday talk. Openings and endings lean a little towards
a class; surface noise is drawn alike for both. The label follows from the text, apart from the 2 % that are
changed at the end.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from whichtune.embedded.grammar import NAMES, Example, chance, fill, finished, generate, pick, write_splits

LABELS = ("not spam", "spam")
SEED = 20240607

WORDS: dict[str, list[str]] = {
    "name": [*NAMES, "Rosa", "Sam", "Tom", "Vera"],
    "relative": ["Mum", "Dad", "my sister", "your brother", "Grandma", "my cousin", "{name}", "{name}"],
    "day": ["today", "tonight", "tomorrow", "on Monday", "on Tuesday", "on Friday", "this week", "by Sunday"],
    "past": [
        "yesterday",
        "last week",
        "this morning",
        "on Monday",
        "on Wednesday",
        "on Friday",
        "last night",
    ],
    "amount": ["£20", "£45", "£90", "£150", "£200", "£500", "£750", "£1000", "£2000"],
    "shop": ["the supermarket", "the phone shop", "the travel agency", "the bookshop", "the garden centre"],
    "place": ["the post office", "the station", "the office", "the town hall", "the library", "the school"],
}

# Each topic: what is told (told), what it is about (thing), acts that a spammer wants (risky), acts of a
# careful person (safe) and a lure. All acts are bare verbs, so that they fit every frame.
TOPICS: dict[str, dict[str, list[str]]] = {
    "parcel": {
        "thing": ["the parcel", "your parcel", "the delivery", "the package from {shop}"],
        "told": [
            "{thing} is at the depot",
            "{thing} could not be delivered {past}",
            "a fee of {amount} is due",
        ],
        "risky": ["pay the fee", "click the link", "send the card number", "reply with the code"],
        "safe": ["go to {place}", "ask the driver", "look for the card in the letterbox", "ring the depot"],
        "lure": ["your parcel is held until a fee is paid", "your delivery waits for your card number"],
    },
    "bank": {
        "thing": ["the account", "your account", "the bank card", "the savings account"],
        "told": [
            "{thing} was locked {past}",
            "somebody paid {amount} from {thing}",
            "{thing} has a new limit",
        ],
        "risky": ["enter the password", "open the link", "move the money", "read out the PIN"],
        "safe": ["call the bank", "check the statement", "ask at the branch", "talk to {relative}"],
        "lure": ["your account is locked until you enter the password", "the bank needs your PIN {day}"],
    },
    "prize": {
        "thing": ["the prize", "the voucher", "the free phone", "the {amount} voucher from {shop}"],
        "told": ["{thing} is for you", "you have won {amount}", "your number was drawn {past}"],
        "risky": ["claim it on the site", "text the word WIN", "give the card details", "share the code"],
        "safe": ["ask at {shop}", "read the rules", "show it to {relative}", "check who sent it"],
        "lure": ["you have won {amount} at {shop}", "you are the lucky winner of a free phone"],
    },
    "work": {
        "thing": ["the job", "the work from home", "the offer", "the place on the course"],
        "told": ["{thing} pays {amount} a day", "{thing} starts {day}", "{thing} is still free"],
        "risky": [
            "pay the deposit",
            "send a copy of the passport",
            "join the chat group",
            "buy the starter kit",
        ],
        "safe": ["meet the manager", "read the contract", "visit {place}", "speak with {relative}"],
        "lure": ["you can earn {amount} a day from home", "the job is yours once the deposit is paid"],
    },
    "loan": {
        "thing": ["the loan", "the refund", "the tax refund", "the {amount} loan"],
        "told": ["{thing} is ready", "{thing} of {amount} is approved", "{thing} ends {day}"],
        "risky": ["fill in the form", "send the bank details", "pay the charge", "confirm the number"],
        "safe": ["compare the rates", "write to the tax office", "wait for the letter", "ask {relative}"],
        "lure": ["your refund of {amount} is waiting", "a loan of {amount} is approved for you"],
    },
    "shares": {
        "thing": ["the coins", "the shares", "the trading app", "the fund"],
        "told": [
            "{thing} went up again {past}",
            "{thing} doubled in a week",
            "{name} made {amount} with {thing}",
        ],
        "risky": ["invest {amount}", "transfer the savings", "install the app", "follow the tip"],
        "safe": ["sleep on it", "read the reviews", "see an adviser", "ask {relative} about it"],
        "lure": ["you can double {amount} in a week", "these coins make everybody rich"],
    },
}

# Openings and endings: all occur in both classes, those of the second row more often in spam.
OPENINGS = [
    ["Hi {name}, ", "{name}, ", "Hey, ", ""],
    ["Hello, ", "Dear customer, ", "Good news, ", "Urgent: ", ""],
]
LEADS = [
    "{told}. ",
    "{told}, so ",
    "about {thing}: ",
    "as for {thing}, ",
    "it is about {thing}. ",
    "{told}! ",
    "",
]
ENDINGS = [
    [" Thanks, {name}.", " See you {day}.", " Best, {name}.", " Let me know.", "", "", ""],
    [
        " It only takes a minute.",
        " Do it {day}.",
        " Offer ends {day}.",
        " You will be glad you did.",
        "",
        "",
        "",
    ],
]
SHARED_FRAMES = 0.4  # how often the frame itself says nothing about the class
OWN_ROW = 0.65  # how often a message opens or ends from its own class's row

# In each, {first} is what the reader is asked to do and {second} what is put off or ruled out.
FRAMES = [
    "please {first} before you {second}",
    "before you {second}, please {first}",
    "you should {first} and not {second}",
    "do not {second}, {first}",
    "{first}, do not {second}",
    "{first} instead, there is no need to {second}",
    "there is no need to {second}, you can {first}",
    "never {second} unless you {first} first",
    "it is better to {first} than to {second}",
    "rather than {second}, {first}",
    "you can {second} later, now {first}",
    "now {first}, you can {second} later",
    "if they tell you to {second}, just {first}",
    "do {first} {day}, and {second} only after that",
]

SPAM_FRAMES = [
    "{lure}, {risky} {day}",
    "this is not a scam: {lure}. {risky} {day}",
    "{risky} now, because {lure}",
    "do not think that it is a scam when we say that {lure}",
    "{relative} did not believe that {lure}, do not make the same mistake",
    "{name} got this too and it is real: {lure}",
    "ignore the people who warn you, {lure}",
    "we wrote to you {past}: {lure}. Why did you not {risky}?",
    "they told {relative} not to {risky}, but it is safe and {lure}",
]
HAM_FRAMES = [
    "I got a text that says {lure}. It is not real",
    "it is a scam when they say that {lure}",
    "do not believe that {lure}, {relative} made the same mistake",
    "{relative} got this too and it is not real: {lure}",
    "ignore the people who tell you that {lure}",
    "they wrote to {relative} {past}: {lure}. Good that nobody did {risky}",
    "did {relative} tell you not to {risky}? It is not safe",
    "I had to {risky} {past} and it took an hour",
    "can you {risky} for me {day}? I am with {relative} at {place}",
    "I won {amount} at {shop} {past}, dinner is on me",
    "{relative} will {risky} {day}, I did it last time",
    "we will {safe} {day}, and then {relative} can {risky}",
    "I paid {relative} back the {amount}, so you can {safe} now",
    "remember to {safe} {day} when you are at {place}",
]


def draw(rng: random.Random, label: str) -> str:
    """One message of a class. Two acts weighed in a shared frame, or a frame of the class's own."""
    topic = TOPICS[pick(rng, sorted(TOPICS))]
    words = WORDS | topic
    spam = label == "spam"
    if chance(rng, SHARED_FRAMES):
        risky, safe = fill(rng, "{risky}", words), fill(rng, "{safe}", words)
        acts = {"first": risky, "second": safe} if spam else {"first": safe, "second": risky}
        core = fill(rng, pick(rng, FRAMES), words, acts)
    else:
        core = fill(rng, pick(rng, SPAM_FRAMES if spam else HAM_FRAMES), words)
    opening = pick(rng, OPENINGS[spam == chance(rng, OWN_ROW)])
    ending = pick(rng, ENDINGS[spam == chance(rng, OWN_ROW)])
    text = fill(rng, opening + pick(rng, LEADS) + core + "." + ending, words).replace("?.", "?")
    return finished(rng, text)


def messages(seed: int = SEED) -> dict[str, list[Example]]:
    """The splits train (1,000), validation (300) and test (500)."""
    return generate(draw, LABELS, seed)


if __name__ == "__main__":
    write_splits(messages(), Path(sys.argv[1]))
