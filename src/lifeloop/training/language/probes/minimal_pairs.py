"""Minimal pairs for what any language model should still know after training on one task.

Each is a beginning with a right and a wrong end: grammar, common knowledge, arithmetic, and words of instruction.
They were written for this probe, and are no part of any public test.
"""

from typing import NamedTuple


class Pair(NamedTuple):
    """One beginning with two ends."""

    stem: str
    right: str
    wrong: str


GRAMMAR = (
    Pair("The keys to the old cabinet", " are missing.", " is missing."),
    Pair("The report on the three accidents", " was sent today.", " were sent today."),
    Pair("Neither of the two answers", " is correct.", " are correct."),
    Pair("She has", " written a letter.", " wrote a letter."),
    Pair("Yesterday we", " went to the market.", " go to the market."),
    Pair("The children played by", " themselves.", " himself."),
    Pair("My sister hurt", " herself.", " himself."),
    Pair("If I were you, I", " would wait.", " will waited."),
    Pair("He is taller", " than his brother.", " then his brother."),
    Pair("There", " are five chairs in the room.", " is five chairs in the room."),
    Pair("They asked us where", " the station was.", " was the the station."),
    Pair("I have lived here", " since 2010.", " since ten years."),
    Pair("The man who", " lives next door is a baker.", " live next door is a baker."),
    Pair("This is the", " best day of my life.", " goodest day of my life."),
    Pair("We look forward to", " hearing from you.", " hear from you."),
)
KNOWLEDGE = (
    Pair("The capital of France is", " Paris.", " Madrid."),
    Pair("The capital of Japan is", " Tokyo.", " Lima."),
    Pair("Water is made of hydrogen and", " oxygen.", " iron."),
    Pair("The opposite of hot is", " cold.", " tall."),
    Pair("The sun rises in the", " east.", " west."),
    Pair("A week has seven", " days.", " months."),
    Pair("Bees make", " honey.", " bread."),
    Pair("The first month of the year is", " January.", " October."),
    Pair("Fish live in", " water.", " trees."),
    Pair("In winter it is often", " cold.", " sweet."),
    Pair("We see with our", " eyes.", " ears."),
    Pair("The Earth goes around the", " Sun.", " Moon."),
    Pair("People in Spain speak", " Spanish.", " Swedish."),
    Pair("A doctor works in a", " hospital.", " bakery."),
    Pair("When ice is heated, it turns into", " water.", " stone."),
    Pair("The colour of fresh grass is", " green.", " purple."),
    Pair("A triangle has three", " sides.", " wheels."),
    Pair("A baby dog is called a", " puppy.", " kitten."),
)
ARITHMETIC = (
    Pair("2 + 2 =", " 4", " 7"),
    Pair("3 + 5 =", " 8", " 6"),
    Pair("10 - 4 =", " 6", " 9"),
    Pair("5 + 5 =", " 10", " 12"),
    Pair("2 * 3 =", " 6", " 8"),
    Pair("9 - 1 =", " 8", " 3"),
    Pair("1, 2, 3, 4,", " 5", " 9"),
    Pair("2, 4, 6, 8,", " 10", " 13"),
    Pair("10, 20, 30,", " 40", " 15"),
    Pair("7 + 1 =", " 8", " 5"),
    Pair("One plus one is", " two.", " nine."),
    Pair("Half of ten is", " five.", " seven."),
)
INSTRUCTIONS = (
    Pair("Question: Is the sky blue? Answer yes or no.\nAnswer:", " Yes", " Table"),
    Pair("Repeat the word: apple\nThe word is", " apple", " river"),
    Pair("Repeat the word: window\nThe word is", " window", " tiger"),
    Pair("Say thank you in one sentence.\n", "Thank you for your help.", "The train is late."),
    Pair("Translate to French: cat\nFrench:", " chat", " engine"),
    Pair("Translate to Spanish: hello\nSpanish:", " hola", " window"),
    Pair("Write the opposite of 'big'.\nOpposite:", " small", " orange"),
    Pair("Write the plural of 'dog'.\nPlural:", " dogs", " doged"),
    Pair("Write the past tense of 'go'.\nPast tense:", " went", " lamp"),
    Pair("List three fruits: apple, banana,", " orange", " hammer"),
    Pair("List three colours: red, green,", " blue", " seven"),
    Pair("Put in upper case: hello\nUpper case:", " HELLO", " river"),
    Pair("Sentiment of 'I love this film': the sentiment is", " positive", " negative"),
    Pair("Sentiment of 'I hate this film': the sentiment is", " negative", " positive"),
    Pair("Complete the saying: Better late than", " never.", " green."),
)
PAIRS = (*GRAMMAR, *KNOWLEDGE, *ARITHMETIC, *INSTRUCTIONS)
