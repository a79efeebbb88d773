"""What the claims of a certificate must add up to, recomputed from the certificate alone."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date, timedelta

from unsee_verify.layout import Certificate
from unsee_verify.proofs import sha256, signed, unhex
from unsee_verify.report import Report

REQUIRED = (
    "order", "scope", "plan", "retained-set", "methods", "evaluation", "deadlines", "residuals", "not-verified", "retained",
    "backups", "third-parties", "unknown-lineage", "consent", "receipts", "log", "times", "tool", "operator", "declaration",
)  # fmt: skip
LISTS = ("residuals", "methods", "unknown-lineage", "deadlines")
LISTS_OF_A_PERSON = ("not-verified", "retained", "backups", "third-parties")
DISPOSITIONS = ("destroyed", "retrained", "unlearned", "infeasible", "outside-model-scope")
LEVELS = {"D2": "L1", "D3": "L2", "D4": "L2"}
DUTIES = ("data", "embeddings", "models", "third-parties")
DAYS: dict[str, tuple[int | None, ...]] = {
    "ftc-everalbum": (30, 90, 90, None),
    "ftc-ring": (30, 90, 90, None),
    "ftc-rite-aid": (45, 45, 45, 60),
    "ftc-ww": (30, None, 90, None),
    "ftc-edmodo": (60, None, 90, None),
    "ftc-cambridge-analytica": (10, None, 10, 10),
    "ftc-avast": (20, None, 20, 20),
    "ftc-mobilewalla": (90, None, 120, 90),
    "gdpr-17": (30, 30, 30, 30),
    "ccpa-105": (45, 45, None, 45),
    "retention": (30, 30, 90, 30),
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def check_presence(c: Certificate, report: Report) -> None:
    """Deny unless every required field is there: an omission is the oldest lie."""
    for name in REQUIRED:
        if name not in c.claims:
            report.bad(name, "this required claim is missing or damaged")
        elif name in LISTS and not isinstance(c.value(name), list):
            report.bad(name, "this claim must be a list, empty where there is nothing")
        elif name in LISTS_OF_A_PERSON:
            with report.guarded(name):
                if not isinstance(c.value(name)["list"], list):
                    report.bad(name, "this claim must hold a list, empty where there is nothing")
    if not c.family("place"):
        report.bad("place", "no place is said to have been searched")


def check_grounds(c: Certificate, report: Report) -> None:
    """A claim may call itself recomputable only where it was recomputed just now."""
    for name, claim in c.claims.items():
        expected = name in {"order", "plan", "deadlines", "log"} or name.startswith("approval/")
        if expected != (claim["ground"] == "recomputable"):
            report.bad(name, f"it calls itself {claim['ground']}; this verifier knows better")
        elif expected and not report.of(name, "ok") and not report.of(name, "broken"):
            report.bad(name, "it could not be recomputed, because something else broke")


def check_plan(c: Certificate, report: Report) -> None:
    """The embedded plan is the one that was approved, for this order, and names what the certificate answers for."""
    plan, claim, digest = c.parts["plan"], c.value("plan"), sha256(c.raw["plan"]).hex()
    report.check(claim["sha256"] == digest, "plan", f"its SHA-256 is {digest}", "the embedded plan has another digest")
    report.check(claim["author"] == plan["author"], "plan", "its author is the one stated", "its author is another")
    same = plan["order"] == c.value("order")
    report.check(same, "order", "the plan is for this order, word by word", "the plan is for another order")
    same = plan["scope"] == c.value("scope")
    report.check(same, "scope", "the same counts as in the approved plan", "the approved plan counts another scope")
    planned, answered = Counter(m["id"] for m in plan["models"]), c.family("model")
    for name in sorted({*planned, *answered}):
        if planned[name] != 1 or name not in answered:
            report.bad(f"model/{name}", "a model of the plan has exactly one disposition, and no other model has any")


def check_approvals(c: Certificate, report: Report) -> None:
    """Two people, each by a key of their own, neither the author, nor with an interest in a party."""
    plan, digest = c.parts["plan"], sha256(c.raw["plan"]).hex()
    sides = {p.casefold() for p in plan["parties"]}
    holders: dict[bytes, str] = {}
    for person, claim in c.family("approval").items():
        part = f"approval/{person}"
        with report.guarded(part):
            key, message = unhex(claim["public_key"], 32), f"unsee approval v1\n{digest}\n{person}".encode()
            fits = claim["person"] == person and signed(key, unhex(claim["signature"], 64), message)
            words = f"{claim['name']} signed the digest of this plan, by the key that the operator names for them"
            report.check(fits, part, words, "the signature does not fit this plan and this person")
            if person == plan["author"]:
                report.bad(part, "an author does not approve")
            if holders.setdefault(key, person) != person:
                report.bad(part, f"it is signed with the key of {holders[key]}")
            for stake in plan["interests"]:
                own = person == stake["person"] or claim["name"].casefold() == stake["holder"].casefold()
                if own and stake["organisation"].casefold() in sides:
                    report.bad(part, f"an interest ({stake['kind']}) in {stake['organisation']} was declared")
            for path in plan.get("conflicts", ()):
                if person == path["person"] or claim["name"].casefold() == path["holder"].casefold():
                    report.bad(part, f"an interest that leads to a party was declared: {path['words']}")
    if c.claims.get("interests", {}).get("value") != plan.get("conflicts"):
        report.bad("interests", "the conflicts that it states are not those of the plan")
    if len(holders) < 2:
        report.bad("approval", f"{len(holders)} approval(s); two people are needed")


def check_outcomes(c: Certificate, report: Report) -> None:
    """Counts add up by class; what failed or stays is named; the assurance level follows from the ladder."""
    outcomes, residuals = c.family("outcome"), c.value("residuals")
    if c.value("scope") != {name: o["scope"] for name, o in outcomes.items()}:
        report.bad("scope", "its classes and counts are not those of the outcomes")
    for name, outcome in outcomes.items():
        part = f"outcome/{name}"
        with report.guarded(part):
            numbers = [outcome[k] for k in ("erased", "absent", "retained", "failed")]
            gone = {k: n for k, n in outcome["gone"].items() if n}
            whole = all(type(n) is int and n >= 0 for n in [*numbers, outcome["scope"], *gone.values()])
            adds = whole and sum(numbers) == outcome["scope"] and sum(gone.values()) == outcome["erased"]
            report.check(adds and outcome["class"] == name, part, "adds up", "its counts do not add up to the scope")
            steps = [LEVELS.get(step, "") for step in gone]
            if outcome["assurance"] != (min(steps, default="") or None):
                report.bad(part, f"the steps of the ladder do not give assurance {outcome['assurance']}")
            if outcome["failed"] and not residuals:
                report.bad("residuals", f"{outcome['failed']} of class {name} failed and no residual is named")
    for name, place in c.family("place").items():
        with report.guarded(f"place/{name}"):
            if place["residue_found"] and not residuals:
                report.bad("residuals", f"place {name} still holds members of the scope and no residual is named")


def check_retained(c: Certificate, report: Report) -> None:
    """What stays is listed with its basis, and the set that had to stay is untouched."""
    kept: Counter[str] = Counter()
    for entry in c.value("retained")["list"]:
        kept[entry["data_class"]] += entry["count"]
        if type(entry["count"]) is not int or entry["count"] <= 0 or not entry["basis"] or not entry["agency"]:
            report.bad("retained", "something is retained without its count, agency and basis")
    stated = {name: o["retained"] for name, o in c.family("outcome").items() if o["retained"]}
    report.check(dict(kept) == stated, "retained", "adds up to the outcomes", "it does not add up to the outcomes")
    roots = c.value("retained-set")
    same = unhex(roots["root_before"], 32) == unhex(roots["root_after"], 32)
    report.check(same, "retained-set", "root before = root after", "the roots before and after differ")
    if c.subjects.get("retained-set") != roots["root_after"]:
        report.bad("retained-set", "its root is not the subject of the statement")


def check_models(c: Certificate, report: Report) -> None:
    """Exactly one disposition each (R10), with what it demands; a replacement exists by digest."""
    for name, model in c.family("model").items():
        part = f"model/{name}"
        with report.guarded(part):
            disposition, replaced = model["disposition"], model["replaced_by"]
            if model["model"] != name or disposition not in DISPOSITIONS:
                report.bad(part, "it does not state exactly one known disposition")
            elif disposition == "retrained" and replaced is None:
                report.bad(part, "it is retrained and no replacement is named")
            elif disposition == "unlearned" and not model["evidence"]:
                report.bad(part, "it is unlearned and no evidence is named")
            elif disposition in {"infeasible", "outside-model-scope"} and not model["explanation"]:
                report.bad(part, "its disposition demands an explanation")
            elif replaced and c.subjects.get(f"model/{replaced['model']}") != replaced["sha256"]:
                report.bad(part, "its replacement is not among the subjects")
            else:
                report.ok(part, "exactly one disposition")


def check_times(c: Certificate, report: Report) -> None:
    """Time runs forward."""
    times = c.value("times")
    steps = [times[k] for k in ("order_opened", "planned", "apply_started", "apply_ended", "verified", "issued")]
    good = all(_TIME.fullmatch(t) for t in steps) and steps == sorted(steps)
    report.check(good, "times", "each step after the one before", "a step lies before the one that it follows")


def check_deadlines(c: Certificate, report: Report) -> None:
    """Due days follow from effective date and profile; met or not follows from the days of completion."""
    order, issued, rows = c.value("order"), c.value("times")["issued"][:10], c.value("deadlines")
    law = order["deadlines"]
    if order["profile"] in DAYS:
        start = date.fromisoformat(order["effective"])
        days = zip(DUTIES, DAYS[order["profile"]], strict=True)
        law = {duty: (start + timedelta(days=n)).isoformat() for duty, n in days if n is not None}
    else:
        report.unchecked("deadlines", f"this verifier does not know the profile {order['profile']}")
    good = [(row["duty"], row["due"]) for row in rows] == list(law.items()) and law == order["deadlines"]
    report.check(good, "deadlines", f"effective date + days of {order['profile']}", "the due days do not follow")
    for row in rows:
        done = row["done"] and date.fromisoformat(row["done"]).isoformat()
        met = ("yes" if done <= row["due"] else "no") if done else ("no" if issued > row["due"] else "open")
        if row["met"] != met and (done or row["met"] != "nothing to do"):
            report.bad("deadlines", f"{row['duty']}: met is {met!r}, not {row['met']!r}")


RULES = (
    ("claims", check_presence),
    ("plan", check_plan),
    ("approval", check_approvals),
    ("outcome", check_outcomes),
    ("retained", check_retained),
    ("model", check_models),
    ("times", check_times),
    ("deadlines", check_deadlines),
)
