"""What introduces a name in a text, in some European languages: titles, phrases, fields, greetings and closings.

Patterns alone; what a name is stands in personal_names.
"""

import re

TITLE = (
    r"(?:Mr|Mrs|Ms|Miss|Mx|Messrs|Dr|Drs|Prof|Professor|Sir|Dame|Lady|Lord|Herrn?|Frau|Mme|Mlle|Madame|Monsieur|"
    r"Señora?|Señorita|Sra?|Srta|Signora?|Sig|Rev|Reverend|Capt|Captain|Sgt|Sergeant|Lt|Col|Colonel|Inspector|"
    r"Mevrouw|Meneer|Dhr|Mevr)"
)


def _listed(words: str) -> tuple[str, ...]:
    return tuple(word.replace("|", " ") for word in words.split())


NAME_HINT = (
    rf"\b{TITLE}\.? [A-ZÀ-Þ]|[A-ZÀ-Þ][\w'’-]+ (?:[A-ZÀ-Þ]\.? |v[ao]n |d[eui] |al |bin )*[A-ZÀ-Þ]|"
    r"(?i)\bname|\bcall me|\bthis is|\bi am\b|\bi['’]m\b|hei(?:ß|ss)e|ich bin|appelle|llamo|chiamo|\bheet\b|chamo|"
    r"\b(?:dear|hi|hello|hey|hallo|lieber?|ch(?:er|ère)|bonjour|hola|estimad[oa]|ciao|car[oa]|beste)\b|"
    r"regards|wishes|thanks|thank you|cheers|sincerely|yours|gr(?:ü|ue)(?:ß|ss)e|\bmfg\b|cordialement|saludos|"
    r"atentamente|saluti|groeten|love,"
)

# Bounded, and only where a word begins: a text may be made to take long.
WORD = r"(?<![\w'’])[A-ZÀ-Þ][\w'’]{0,30}\w(?:-[A-ZÀ-Þ]?[\w'’]{0,30}\w){0,3}"
PARTICLE = r"(?:v[ao]n der|v[ao]n den|v[ao]n|de la|de los|de|del|della|di|da|dos|du|la|le|bin|ibn|al|el|ten|ter|zu|y)"
LAST = rf"(?:(?:{PARTICLE} ){{0,2}}{WORD})"
FULL = rf"(?:{WORD}|[A-ZÀ-Þ]\.)(?: (?:{WORD}|[A-ZÀ-Þ]\.?(?![\w'’]))){{0,2}}?(?: {LAST})?"
LETTERS = r"[^\W\d_][\w'’-]{0,40}[^\W\d_](?: [A-Za-z]\.)?(?: [^\W\d_][\w'’-]{0,40}[^\W\d_]){0,3}"
WORD_END = r"(?![\w'’-]{0,9}\w)"

TITLED = re.compile(
    rf"\b{TITLE}\.?(?: (?:Dr|Prof)\.?)? ((?:(?:{PARTICLE} )?{WORD}|[A-ZÀ-Þ]\.)(?: (?:{WORD}|"
    rf"[A-ZÀ-Þ]\.)){{0,2}}(?: {PARTICLE} {WORD})?)"
)
NAMED = re.compile(
    r"(?i)(?:\bmy (?:full |first |last |given |family )?name(?:['’]s| is|:)?|\bname['’]s|\b(?:is|am) (?:called|named)|"
    r"\bich hei(?:ß|ss)e|\bmein name ist|\bje m['’]appelle|\bmon nom est|\bme llamo|\bmi nombre es|\bmi chiamo|"
    r"\bik heet|\bmijn naam is|\bme chamo|\bmeu nome é)\s+(?=[^\W\d_])"
)
FIELD = re.compile(r"[:=]\s*(?=[^\W\d_])")
FIELD_NAMES = re.compile(
    r"(?i)\b(?:name|surname|username|holder|customer|client|patient|attn|attention|recipient|passenger|guest|"
    r"applicant|tenant|employee|vorname|nachname|nom|prénom|nombre|nome|contact|signed|kunde|caller|buyer|"
    r"seller|sender|payee|witness|"
    r"beneficiary)\s?\Z"
)
MAYBE_NAMED = re.compile(
    r"(?i)\b(?:call me|this is|i am|i['’]m|it['’]s|speak(?:ing)? (?:to|with)|ich bin|hier ist|je suis|soy|sono|"
    r"from:|by:|author:|to:|cc:|met|ask(?:ed)?(?: for)?|contact(?:ed)?|tell|told|email(?:ed)?|"
    r"my (?:wife|husband|son|daughter|"
    r"brother|sister|mother|father|boss|manager|friend|colleague|partner|doctor))\s*,?\s+(?=[^\W\d_])"
)
GREETED = re.compile(
    r"(?im)(?:^|[\n.!?:]\s*|\\n)(?:dear|hi|hello|hey|hallo|lieber?|ch(?:er|ère)|bonjour|hola|estimad[oa]|"
    r"querid[oa]|ciao|car[oa]|beste|"
    rf"sehr geehrte[r]?|good (?:morning|afternoon|evening))(?: there)?,? (?:{TITLE}\.? )?(?=[^\W\d_])"
)
SIGNED = re.compile(
    r"(?i)(?:\b(?:regards|wishes|thanks(?: a lot| again| so much)?|cheers|sincerely|yours (?:truly|faithfully)|"
    r"thank you|love|gr(?:ü|ue)(?:ß|ss)en?|mfg|lg|cordialement|bien à vous|saludos|atentamente|saluti|groeten?|"
    r"signed)\s*[,.!;:]?\s*(?:\n|[-–—]{1,2})?\s*)(?=[^\W\d_])"
)
SMALL = re.compile(
    r"([^\W\d_][\w'’-]+(?: [a-z]\.)? (?:(?:v[ao]n|de|da|di|del|al|el|bin|la|"
    r"der) ){0,2}[^\W\d_][\w'’-]+)(?=[.,;!?\n]|\Z| and | und | et | y )"
)

IN_NAMED = _listed("name called heisse appelle nom|est llamo nombre|es chiamo ik|heet naam|is chamo")
IN_MAYBE_NAMED = _listed(
    "call|me this|is i|am i'm i’m it's it’s speak ich|bin hier|ist je|suis soy sono : met ask contact tell told"
    " mail my|"
)
IN_GREETED = _listed(
    "dear hi hello hey hallo liebe cher chère bonjour hola estimad querid ciao car beste geehrte good|"
)
IN_SIGNED = _listed(
    "regards wishes thank cheers sincerely yours love grüsse gruesse gruss mfg lg cordialement bien|à saludos"
    " atentamente saluti groete signed"
)
"""Small letters, one of which each text that a pattern matches holds: they are looked for first, and much faster."""
