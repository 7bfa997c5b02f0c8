"""Plans by lot, and a reference that says what has to come of each: the histories must be equal.

The reference is the whole meaning of a saga in forty lines, and knows nothing of stores. It is
compared after a run without disturbance, and after one whose store was left again and again.
"""

from __future__ import annotations

import anyio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from penstock import Retry, Saga, SagaStore, saga
from penstock.saga import Abort

OUTCOMES = ("ok", "ok", "ok", "ok", "error", "unsure", "abort")


@st.composite
def plans(draw):
    """Steps with what each attempt of them, and of their compensation, comes to."""
    count = draw(st.integers(1, 5))
    pivot = draw(st.none() | st.integers(0, count - 1))
    return [
        {
            "name": f"s{number}",
            "do": draw(st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=3)),
            "undo": draw(
                st.none()
                | st.lists(
                    st.sampled_from(("ok", "ok", "ok", "error", "abort")), min_size=1, max_size=3
                )
            ),
            "pivot": number == pivot,
        }
        for number in range(count)
    ]


def reference(plan, interrupted=()):
    """State and history: (step, phase, attempt, how it ended). Steps whose attempt was cut off may
    have happened then."""
    history, failed, unsure = [], 0, False

    def attempts(step, phase):
        """Whether it was done in the end, and whether an attempt may have been."""
        unsure = step["name"] in interrupted
        for attempt, outcome in enumerate(step[phase], start=1):
            done = outcome == "ok"
            history.append((step["name"], phase, attempt, "done" if done else "failed"))
            unsure = unsure or outcome == "unsure"
            if done or outcome == "abort":
                return done, unsure
        return False, unsure

    for failed, step in enumerate(plan):  # noqa: B007 (used below)
        done, unsure = attempts(step, "do")
        if not done:
            break
    else:
        return "completed", history
    if any(step["pivot"] for step in plan[:failed]):
        return "parked", history
    for step in reversed(plan[: failed + 1 if unsure else failed]):
        if step["undo"] is not None and not attempts(step, "undo")[0]:
            return "parked", history
    return "compensated", history


def saga_of(plan, disturb=None):
    made = Saga("model")

    def act(outcomes):
        async def act(context):
            outcome = outcomes[saga.current().attempt - 1]
            if disturb is not None:
                await disturb()
            if outcome == "error":
                raise ValueError(outcome)
            if outcome == "unsure":
                raise TimeoutError(outcome)
            if outcome == "abort":
                raise Abort(outcome)
            return outcome

        return act

    for step in plan:
        made.add_step(
            step["name"],
            act(step["do"]),
            compensate=None if step["undo"] is None else act(step["undo"]),
            retry=Retry(attempts=len(step["do"]), delay=0),
            compensate_retry=Retry(attempts=len(step["undo"] or "x"), delay=0),
            pivot=step["pivot"],
        )
    return made


def shape(history):
    return [(each.step, each.phase, each.attempt, each.state) for each in history]


BACK = [
    {"name": f"s{n}", "do": ["ok" if n < 3 else "abort"], "undo": ["ok"], "pivot": False}
    for n in range(4)
]


@settings(max_examples=60, deadline=None)
@given(plans())
@example(BACK)
def test_a_run_is_what_the_reference_says(plan):
    async def main():
        made = saga_of(plan)
        async with SagaStore.open("memory://", sagas=[made]) as store:
            outcome = await (await store.start(made, 1, key="k")).outcome()
            return outcome.state.value, shape(await store.history("model", "k"))

    assert anyio.run(main) == reference(plan)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plans(), st.lists(st.integers(0, 4), max_size=4))
def test_a_run_that_is_given_back_again_and_again(plan, cuts):
    """Cut off at its n-th attempt from there, n by lot: what was under way is run again, and may
    have happened, so that its own compensation runs as well. All else is the same."""
    left = list(cuts)
    interrupted = set()
    attempts = 0
    scope: anyio.CancelScope

    async def disturb():
        nonlocal attempts
        attempts += 1
        if left and attempts > left[0]:
            if not saga.current().is_compensation:
                interrupted.add(saga.current().name)
            scope.cancel()
            await anyio.lowlevel.checkpoint()

    async def main():
        nonlocal attempts, scope
        made = saga_of(plan, disturb)
        async with SagaStore.open("memory://model", sagas=[]) as looks:
            while True:
                attempts = 0
                with anyio.CancelScope() as scope:
                    async with SagaStore.open("memory://model", sagas=[made]) as store:
                        outcome = await (await store.start(made, 1, key="k")).outcome()
                        return outcome.state.value, shape(await looks.history("model", "k"))
                left.pop(0)

    assert anyio.run(main) == reference(plan, interrupted)
