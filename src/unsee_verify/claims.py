"""What the claims of a certificate must add up to, recomputed from the certificate alone."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

from unsee_verify.proofs import sha256, signed, unhex
from unsee_verify.report import Report

REQUIRED = (
    "order", "scope", "plan", "retained-set", "methods", "evaluation", "deadlines", "residuals", "not-verified", "retained",
    "backups", "third-parties", "unknown-lineage", "consent", "receipts", "log", "times", "tool", "operator", "declaration",
)  # fmt: skip
RECOMPUTABLE = ("order", "plan", "deadlines", "log")
LISTS = ("residuals", "methods", "unknown-lineage")
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
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
Claims = dict[str, dict[str, Any]]


def value(claims: Claims, name: str) -> Any:
    """The value of a claim.

    Raises:
        KeyError: there is none.
    """
    return claims[name]["value"]


def family(claims: Claims, prefix: str) -> dict[str, Any]:
    """The values of all claims `prefix/…`, by what comes after the stroke."""
    return {n.removeprefix(prefix + "/"): c["value"] for n, c in claims.items() if n.startswith(prefix + "/")}


def check_presence(claims: Claims, report: Report) -> None:
    """Deny unless every required field is there: an omission is the oldest lie."""
    for name in REQUIRED:
        if name not in claims:
            report.bad(name, "this required claim is missing")
    for name in LISTS:
        if name in claims and not isinstance(value(claims, name), list):
            report.bad(name, "this claim must be a list, empty where there is nothing")
    for name in LISTS_OF_A_PERSON:
        with report.guarded(name):
            if name in claims and not isinstance(value(claims, name)["list"], list):
                report.bad(name, "this claim must hold a list, empty where there is nothing")
    if not family(claims, "place"):
        report.bad("place", "no place is said to have been searched")
    for name, claim in claims.items():
        with report.guarded(name):
            if set(claim) != {"ground", "id", "statement", "value"} or claim["id"] != name:
                report.bad(name, "a claim has an id, a ground, a statement and a value, and nothing else")
            elif claim["ground"] not in {"recomputable", "observed", "attested"}:
                report.bad(name, f"{claim['ground']!r} is no ground")


def check_grounds(claims: Claims, report: Report) -> None:
    """A claim may call itself recomputable only where it was recomputed just now."""
    for name, claim in claims.items():
        expected = name in RECOMPUTABLE or name.startswith("approval/")
        if claim.get("ground") == "recomputable" and not expected:
            report.bad(name, "it calls itself recomputable, and there is nothing to recompute it from")
        elif expected and claim.get("ground") != "recomputable":
            report.bad(name, "it must stand as recomputable")
        elif expected and not report.of(name, "ok") and not report.of(name, "broken"):
            report.bad(name, "it could not be recomputed")


def check_plan(claims: Claims, plan: Any, plan_bytes: bytes, report: Report) -> None:
    """The embedded plan is the one that was approved, for this order, and names what the certificate answers for."""
    with report.guarded("plan"):
        claim = value(claims, "plan")
        digest = sha256(plan_bytes).hex()
        report.check(
            claim["sha256"] == digest, "plan", f"its SHA-256 is {digest}",
            "the embedded plan has another digest than the one stated",
        )  # fmt: skip
        report.check(claim["author"] == plan["author"], "plan", "its author is the one stated", "its author is another")
    with report.guarded("order"):
        report.check(
            plan["order"] == value(claims, "order"), "order", "the plan is for this order, word by word",
            "the plan is for another order",
        )  # fmt: skip
    with report.guarded("scope"):
        report.check(
            plan["scope"] == value(claims, "scope"), "scope", "the same counts as in the approved plan",
            "the approved plan counts another scope",
        )  # fmt: skip
    planned, answered = sorted(m["id"] for m in plan["models"]), sorted(family(claims, "model"))
    for name in sorted({*planned, *answered}):
        if planned.count(name) != 1 or name not in answered:
            report.bad(f"model/{name}", "not exactly one disposition for a model of the plan")


def check_approvals(claims: Claims, plan: Any, plan_bytes: bytes, report: Report) -> None:
    """Two people, each by a key of their own, neither the author, nor with an interest in a party."""
    digest = sha256(plan_bytes).hex()
    keys: dict[str, str] = {}
    approvals = family(claims, "approval")
    for person, claim in approvals.items():
        part = f"approval/{person}"
        with report.guarded(part):
            if claim["person"] != person:
                report.bad(part, f"it is of {claim['person']}")
            message = f"unsee approval v1\n{digest}\n{person}".encode()
            report.check(
                signed(unhex(claim["public_key"], 32), unhex(claim["signature"], 64), message), part,
                f"{claim['name']} signed the digest of this plan", "the signature does not fit the plan and this person",
            )  # fmt: skip
            if person == plan["author"]:
                report.bad(part, "an author does not approve")
            if other := keys.get(claim["public_key"]):
                report.bad(part, f"it is signed with the key of {other}")
            keys[claim["public_key"]] = person
            sides = {p.casefold() for p in plan["parties"]}
            for interest in plan["interests"]:
                same = person == interest["person"] or claim["name"].casefold() == interest["holder"].casefold()
                if same and interest["organisation"].casefold() in sides:
                    report.bad(part, f"an interest ({interest['kind']}) in {interest['organisation']} was declared")
    if len(keys) < 2:
        report.bad("approval", f"{len(keys)} approval(s); two people are needed")


def check_outcomes(claims: Claims, report: Report) -> None:
    """Counts add up by class; what failed or stays is named; the assurance level follows from the ladder."""
    outcomes = family(claims, "outcome")
    with report.guarded("scope"):
        if value(claims, "scope") != {name: o["scope"] for name, o in outcomes.items()}:
            report.bad("scope", "its classes and counts are not those of the outcomes")
    with report.guarded("retained"):
        kept: dict[str, int] = {}
        for entry in value(claims, "retained")["list"]:
            kept[entry["data_class"]] = kept.get(entry["data_class"], 0) + entry["count"]
            if entry["count"] < 0 or not entry["basis"] or not entry["agency"]:
                report.bad("retained", "something is retained without its agency and basis")
        stated = {name: o["retained"] for name, o in outcomes.items() if o["retained"]}
        report.check(
            {k: n for k, n in kept.items() if n} == stated, "retained", "what is listed adds up to the outcomes",
            "what is listed does not add up to the outcomes",
        )  # fmt: skip
    for name, outcome in outcomes.items():
        part = f"outcome/{name}"
        with report.guarded(part):
            numbers = [outcome[k] for k in ("erased", "absent", "retained", "failed")]
            gone = {k: n for k, n in outcome["gone"].items() if n}
            whole = all(type(n) is int and n >= 0 for n in [*numbers, outcome["scope"], *gone.values()])
            adds = whole and sum(numbers) == outcome["scope"] and sum(gone.values()) == outcome["erased"]
            report.check(
                adds and outcome["class"] == name, part, "adds up",
                "erased, absent, retained and failed do not make the scope, or the ladder not the erased",
            )  # fmt: skip
            levels = {LEVELS.get(step) for step in gone}
            level = None if not levels or None in levels else min(str(step) for step in levels)
            if outcome["assurance"] != level:
                report.bad(part, f"the ladder gives assurance {level}, not {outcome['assurance']}")
            if outcome["failed"] and not value(claims, "residuals"):
                report.bad("residuals", f"{outcome['failed']} of class {name} failed and no residual is named")
    for name, place in family(claims, "place").items():
        with report.guarded(f"place/{name}"):
            if place["residue_found"] and not value(claims, "residuals"):
                report.bad("residuals", f"place {name} still holds members of the scope and no residual is named")


def check_models(claims: Claims, subjects: dict[str, str], report: Report) -> None:
    """Exactly one disposition each (R10); a replacement exists by digest; the retained set is untouched."""
    for name, model in family(claims, "model").items():
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
            elif replaced and subjects.get(f"model/{replaced['model']}") != replaced["sha256"]:
                report.bad(part, "its replacement is not among the subjects")
            else:
                report.ok(part, "exactly one disposition")
    with report.guarded("retained-set"):
        retained = value(claims, "retained-set")
        same = unhex(retained["root_before"], 32) == unhex(retained["root_after"], 32)
        report.check(same, "retained-set", "root before = root after", "the roots before and after differ")
        if subjects.get("retained-set") != retained["root_after"]:
            report.bad("retained-set", "its root is not the subject of the statement")


def check_dates(claims: Claims, report: Report) -> None:
    """Due days follow from effective date and profile; met or not follows from the days of completion; time runs forward."""
    with report.guarded("times"):
        times = value(claims, "times")
        steps = [times[k] for k in ("order_opened", "planned", "apply_started", "apply_ended", "verified", "issued")]
        report.check(
            all(_TIME.fullmatch(t) for t in steps) and steps == sorted(steps), "times", "each step after the one before",
            "a step lies before the one that it follows",
        )  # fmt: skip
    with report.guarded("deadlines"):
        order, issued = value(claims, "order"), value(claims, "times")["issued"][:10]
        due = {row["duty"]: row["due"] for row in value(claims, "deadlines")}
        if order["profile"] in DAYS:
            start = date.fromisoformat(order["effective"])
            days = zip(DUTIES, DAYS[order["profile"]], strict=True)
            law = {duty: (start + timedelta(days=n)).isoformat() for duty, n in days if n is not None}
        else:
            law = order["deadlines"]
            report.unchecked("deadlines", f"this verifier does not know the profile {order['profile']}")
        good = due == law == order["deadlines"] and len(value(claims, "deadlines")) == len(due)
        report.check(good, "deadlines", f"effective date + days of {order['profile']}", "the due days do not follow")
        for row in value(claims, "deadlines"):
            done = row["done"] and date.fromisoformat(row["done"]).isoformat()
            met = ("yes" if done <= row["due"] else "no") if done else ("no" if issued > row["due"] else "open")
            if row["met"] not in (met, "nothing to do"):
                report.bad("deadlines", f"{row['duty']}: met is {met!r}, not {row['met']!r}")
            elif row["met"] == "nothing to do" and done is not None:
                report.bad("deadlines", f"{row['duty']}: nothing to do, and yet done on {done}")
