"""Learns the limits of a provider from its answers and refusals.

A refusal is evidence, not proof: providers also refuse calls by chance. A cluster of refusals shows a limit
(refusal_evidence.py), and so does a refusal while more is offered than a limit that is known. All others are
stray: they delay only their own request.

A limit has one of two meanings. If more calls were in flight at the refused calls than at the admitted ones,
the concurrency was too high: the width is held below it. Otherwise the rate was too high, and can be
measured: a provider that refuses has nothing left, so the calls that it admitted between two refusals are
its rate limit. After a cluster the rate that it admitted is tried (rate_trial.py): if as large a share is
refused at a lower rate, there is no limit, only chance.
"""

import math

from .admitted_calls import AdmittedCalls
from .call_levels import CallLevels
from .call_window import CallWindow
from .closed_evidence import ClosedEvidence
from .estimators import DOUBLING_S, ConcurrencyEstimator, RateEstimator
from .limit_types import REQUESTS, TOKENS, Learned, Ticket
from .rate_history import RateHistory, Round
from .rate_probe import CHANCE, FAR, RateProbe
from .rate_trial import MOST_BELOW_KNOWN, Before, RateTrial, Verdict
from .refusal_evidence import NO_CLUSTER, Cluster, RefusalEvidence
from .refused_share import AT_RATE_CALLS, RefusedShare

LEAST_SHARE = 0.25  # of the last minute's rate: no refusal is taken to mean less than that
ENOUGH = 11.0  # evidence that shows a limit (log-likelihood ratio) …
ENOUGH_FIRST = 7.0  # … before this many calls were admitted …
FIRST_CALLS = 4
ENOUGH_PER_RATE = 2.5  # … and more where calls are fast: chance has more tries, waiting costs less
SLOW_PER_S = 10.0
FEW_CALLS = 20  # do not tell much
PROBE_EVIDENCE = 3.2  # enough while more is offered than a limit that is known
CONFIRMING_CALLS = 12  # after one that chance may have refused: the rate does not grow …
CONFIRMED_WITHIN = 24.0  # … and another among this many calls shows the limit …
CONFIRMED_BY = 0.25  # … or among this many divided by the share of chance, if these are fewer
PROBE_REFUSED = 0.3  # share of the calls that a known limit would refuse then
KNOWN_CALLS = 200  # before a limit is met tell how many are refused by chance
HELD_CALLS = 40
TELLING_CALLS = 30  # at a rate that holds tell how many are refused by chance at most
SHORTEST_S = 0.1  # calls per second are not measured over less

DELAYS = 20.0  # a rate doubles no faster than in this many times the delay of decisions
LOWERED = 0.4  # a cluster lowers the rate to no less of what was offered; the trial does the rest
HIGHEST = 0.5  # … and to no more …
LOWEST = 0.3  # … by no less than this a round
ABOVE = 1.005  # times the rate that is tried: the limit is higher than that
AGAIN_CALLS = 1_500  # after a trial, what it taught is in doubt if refusals go on
NEW_LATENCY = 0.1  # weight of the last answer's latency in the average
IDLE_S = 1.0  # idle for this long: recent admissions say nothing about the limits


class Limits:
    """Width and rates of one provider. All times in seconds of one monotonic clock."""

    def __init__(self, start: float, highest: float):
        self.width = ConcurrencyEstimator(start, highest)
        self.rates = {REQUESTS: RateEstimator(), TOKENS: RateEstimator()}
        self.latency_s = 1.0
        self.delay_s = 0.0  # until what is decided here holds for all calls
        self._trusted = 0  # limits that the user has set
        self._evidence = RefusalEvidence()
        self._closed_evidence = ClosedEvidence()
        self._trial: RateTrial | None = None
        self._levels = CallLevels()
        self._admitted = AdmittedCalls()
        self._share = RefusedShare()
        self._history = RateHistory()
        self._full_at = self._paced_at = float("-inf")  # when width, when rate held a call back
        self._cut_at = float("-inf")
        self._admitted_at_cut = -1.0
        self.window = CallWindow()
        self._opens_at: float | None = None  # as far as another process knows
        self.closed = False  # whether nothing was admitted between the last two refusals
        self._opens = False  # whether the next answer shows that it was open again
        self._answers = 0  # good ones
        self._calls = 0  # good answers since the rate was learned, while it held calls back
        self._held_until = 0  # the order of calls until which the width that is held is in doubt
        self._first_at = float("-inf")  # when the first call started
        self._probe = RateProbe()
        self._cooldown_s = 0.0
        self._last_trial: RateTrial | None = None
        self._doubted: list[int] = []  # refused calls of a probe that may be chance, by order

    def begin_at(self, width: float) -> None:
        """Use that width, if none was learned and slow start has not come so far."""
        if self.width.proven is None and self.width.value < width:
            self.width.restart(width, self.width.highest)

    def relearn(self, width: float, now: float) -> None:
        """Forget what refusals have shown, and start at this width."""
        self.width.restart(width, self.width.highest)
        for rate in self.rates.values():
            rate.reset(RateEstimator().known, now)
        self.window = CallWindow()
        self._evidence.clear()
        self._closed_evidence = ClosedEvidence()
        self._opens_at = None
        self._history.clear()
        self._trial = self._last_trial = None
        self._held_until = self._calls = 0
        self._probe.clear()
        self.closed = self._opens = False
        # calls in flight tell of what was forgotten
        self._cut(now)

    def trust(self, ceilings: int) -> None:
        """The user has set that many limits: it takes more refusals to show lower ones."""
        self._trusted = ceilings

    @property
    def paced(self) -> bool:
        """Whether a rate was learned."""
        return self.rates[REQUESTS].value is not None

    @property
    def concurrency(self) -> int:
        """Calls that may be in flight."""
        return max(1, int(self.width.value + 1e-9))

    @property
    def last_order(self) -> int:
        """The place of the last call among all that started."""
        return self._evidence.number

    @property
    def few(self) -> bool:
        """Whether too few calls were admitted to know much."""
        return self._admitted.requests < FEW_CALLS

    @property
    def is_trusted(self) -> bool:
        """Whether the user has set a limit."""
        return self._trusted > 0

    @property
    def in_slow_start(self) -> bool:
        """Whether the first calls are made, and neither the user nor a refusal has shown a limit."""
        known = self._trusted or self.paced or self.width.proven is not None
        return not known and self.last_order <= KNOWN_CALLS

    @property
    def opens_at(self) -> float | None:
        """When a closed window is open again at the latest; None if none is known to be closed."""
        own = self.window.opens_at
        return self._opens_at if own is None else own

    def room(self, in_flight: int, now: float) -> bool:
        """Whether the width allows another call."""
        if in_flight < self.concurrency:
            return True
        self._full_at = now
        return False

    def wait_s(self, tokens: float, now: float) -> float:
        """How long the learned rates make a call wait."""
        window_s = self.window.wait_s(now)
        if not self.paced:
            return window_s
        wait = max(self.rates[REQUESTS].wait_s(1.0, now), self.rates[TOKENS].wait_s(tokens, now))
        if wait > 0.0:
            self._paced_at = now
        return max(wait, window_s)

    def window_wait_s(self, now: float) -> float:
        """How long a window of a minute that is used up makes a call wait."""
        return self.window.wait_s(now)

    def gap_s(self) -> float:
        """Between two starts at least, so that what was saved up does not go out all at once."""
        rate = self.rates[REQUESTS].value
        return 0.0 if rate is None else 0.5 / rate

    def started(self, ticket: Ticket) -> None:
        self._admitted.begin_measuring(ticket.started)
        ticket.order = self._evidence.started()
        if ticket.started < self._cut_at:  # as decided before
            self._admitted_at_cut += 1.0
            if self._trial is not None:
                self._trial.begin_round(ticket.order, ticket.started)
        if ticket.order == 1:
            self._first_at = ticket.started
        self.window.started(ticket.started)
        self._levels.started(ticket.order, ticket.level, ticket.started)
        self._admitted.started(ticket)
        self.rates[REQUESTS].take(1.0)
        self.rates[TOKENS].take(ticket.tokens)

    def held(self, full_at: float, paced_at: float) -> None:
        """When width and rate last held a call back in another process."""
        self._full_at = max(self._full_at, full_at)
        self._paced_at = max(self._paced_at, paced_at)

    def idle(self) -> None:
        """No call is waiting: the calls admitted now do not show the limit."""
        self._admitted.forget_measured()

    def answered(self, ticket: Ticket, latency_s: float, now: float) -> None:
        """A good answer: the limits in force may grow."""
        self._answers += 1
        weight = max(NEW_LATENCY, 1.0 / self._answers)
        self.latency_s += weight * (latency_s - self.latency_s)
        if ticket.started < self._cut_at:
            if self.closed:  # it was open for this call, and closed again before the answer came
                self._opened(ticket, now)
            return
        if self.closed or self._opens or self.delay_s:
            self.closed = self._opens = False
            self._opened(ticket, now)
        self._levels.answered(ticket.level)
        if self._trial is not None:
            if self._trial.passed(self._evidence.number, now):
                self._confirm(self._trial, now)
        elif self._paced_at >= ticket.started and not self._is_confirming:
            self._calls += self._grown_to_use(now)
            self._grow(now)
        elif self._full_at >= ticket.started:
            self.width.answered(self._plateau(now), self.latency_s, now)

    def _grow(self, now: float) -> None:
        """Both rates grow alike: one that lagged behind would hold the calls, and so the growth, of both."""
        rate = self.rates[REQUESTS]
        plateau = rate.plateau(self._plateau(now))
        for one in self.rates.values():
            one.grow(self._calls, plateau, now, max(DOUBLING_S, DELAYS * self.delay_s))
        self._admitted.mark_far((rate.value or 0.0) > FAR * rate.proven, now)

    @property
    def _is_confirming(self) -> bool:
        """Whether the next calls tell if chance has refused one in a probe."""
        doubted = self._doubted
        return bool(doubted) and self._evidence.number - doubted[-1] <= CONFIRMING_CALLS

    def _opened(self, ticket: Ticket, now: float) -> None:
        spacing_s = self.window.opened(ticket.started)
        if spacing_s is not None:
            self._trial = None
            self._learn(1.0 / spacing_s, now)
            self._mark_at(ticket)

    def _grown_to_use(self, now: float) -> bool:
        """Whether about as many calls start as the learned rate allows."""
        rate = self.rates[REQUESTS]
        if rate.value is None or not rate.probing:
            return True
        return self._admitted.use(rate.value, now)

    def discount(self, ticket: Ticket) -> None:
        """Remove a call that the provider did not admit from the counts."""
        self.window.refused(ticket.started)
        self._admitted.discount()

    def refused(
        self, ticket: Ticket, about: str | None, per_s: float, just_now: float, now: float
    ) -> bool:
        """A refused call, with the provider's word for what it is about (REQUESTS, TOKENS or None),
        and the calls per second of the last minute and just now. Returns whether a limit was
        reached, so that all calls have to wait. Refusals of calls that had started before the
        last time tell the same again."""
        self.discount(ticket)
        self._closed_evidence.refused(ticket.order)
        if ticket.started < self._cut_at:
            self._admitted_at_cut -= 1.0
            return False
        self._levels.refused(ticket.order, ticket.level)
        # after a closed limit few calls are admitted, and their answers come later than refusals
        if self._is_closed() or (self.few and self.closed):
            self.closed = True
            self.window.closed(now)
            self._cut_at = now + self.delay_s  # still closed: nothing to learn, but to ask later
            if self._trial is not None:
                self._trial.skip(self._evidence.number, now)
            return True
        self._opens = self._opens or self.closed  # it may be: only an answer shows that it was
        self.closed = False
        if self._trial is not None:
            return self._tried(self._trial, ticket, now)
        cluster = self._evidence.refused(ticket.order)
        shown = cluster.evidence >= self._enough(just_now) or ticket.order <= self._held_until
        if about is None and self.paced and self._shows_width(ticket):
            self._hold_below(ticket, now)
            return False
        if self._beyond_known(ticket, cluster, now) or (shown and self.rates[REQUESTS].probing):
            self._step_back(ticket, cluster, just_now, now)
            return False
        if shown:
            return self._reached(cluster, ticket, about, max(just_now, per_s), per_s, now)
        width = self._width_below(ticket) if about is None and not self.paced else None
        if width is not None:
            self.width.hold(width)
            self._evidence.single()
            self._cut(now)
            return False
        return self._refused_at_rate(ticket, now)

    def _shows_width(self, ticket: Ticket) -> bool:
        """Whether a width that is known, rather than the rate, explains the refusal: no fewer calls were in flight,
        and more than at any of many answers."""
        is_full = ticket.level >= (self.width.proven or math.inf)
        return is_full and self._levels.is_above_answered(ticket.level)

    def _width_below(self, ticket: Ticket) -> float | None:
        """The width below the one that is held where calls are refused at that one, and hardly any with
        fewer in flight; None where they are not. Chance would refuse both."""
        held = self.width.proven
        if held is None or ticket.level < held:
            return None
        width = self._levels.width_of_last(ticket.order)
        return width if width is not None and width < held else None

    def _hold_below(self, ticket: Ticket, now: float) -> None:
        """Hold the width below that of a refused call; the rate stays."""
        most = self._levels.most_admitted(_settled_before(ticket, now))
        self.width.hold(min(ticket.level - 1, most))
        self._evidence.single()
        self._levels.cut()

    def _is_closed(self) -> bool:
        """Whether nothing is admitted any more."""
        admitted = self._admitted.requests > self._admitted_at_cut
        return not admitted and self._closed_evidence.is_enough()

    def suspect(self, now: float, closed: bool) -> bool:
        """The provider asks for a long wait: where the next call is refused, too, all have to
        wait. ``closed``: earlier waits have shown that it admits nothing until then. Returns whether to wait
        for that: a window that is known tells better how long."""
        self._cut(now)
        closed = closed and self.window.count is None
        if closed:
            self.closed = True
            self.window.closed(now, told=True)
        return closed

    @property
    def learned(self) -> Learned:
        return Learned(
            width=self.width.known,
            highest=self.width.highest,
            rates={name: rate.known for name, rate in self.rates.items()},
            latency_s=self.latency_s,
            cooldown_s=self._cooldown_s,
            closed=self.closed,
            few=self.few,
            window=self.window.count,
            opens_at=self.window.opens_at,
        )

    def restore(self, learned: Learned, now: float) -> None:
        """Continue from the limits that another process has learned. A width that was learned under
        another ceiling is ignored."""
        if learned.highest == self.width.highest:
            self.width.restore(learned.width)
        for name, known in learned.rates.items():
            self.rates[name].reset(known, now)
        self.window.count, self._opens_at = learned.window, learned.opens_at
        if not learned.few:
            self._admitted.requests = max(self._admitted.requests, float(FEW_CALLS))
        self.latency_s, self._cooldown_s = learned.latency_s, learned.cooldown_s
        if not learned.few:
            self._answers = FEW_CALLS
        self.closed, self._opens = learned.closed, False
        # this process knows too little about earlier calls to learn from them
        self._cut_at, self._trial, self._calls = now, None, 0
        self._history.clear()
        self._admitted.forget_measured()
        self._levels.cut()

    def cooled(self, seconds: float) -> None:
        """Note the cost of a refusal: the more a probe costs, the rarer probes become."""
        self._cooldown_s += 0.3 * (seconds - self._cooldown_s)
        if self._trial is not None:
            self._trial.delay(seconds)

    # --- what refusals mean -------------------------------------------------------------------

    def _enough(self, per_s: float) -> float:
        """The evidence that shows a limit."""
        if self._admitted.requests < FIRST_CALLS:
            return ENOUGH_FIRST * (1 + self._trusted)
        fast = math.log(max(1.0, per_s / SLOW_PER_S))
        return (ENOUGH + ENOUGH_PER_RATE * fast) * (1 + self._trusted)

    def _beyond_known(self, ticket: Ticket, cluster: Cluster, now: float) -> bool:
        """Whether a limit that is known explains the refusal: more than that was offered."""
        width = self.width.proven
        if not (width is not None and ticket.level > width) and not self.rates[REQUESTS].probing:
            return False
        likelier = math.log(PROBE_REFUSED / min(PROBE_REFUSED, self._evidence.stray_share))
        if cluster.evidence + likelier < PROBE_EVIDENCE:
            return False
        rate = self.rates[REQUESTS]
        is_new = rate.unconfirmed and not self.delay_s
        chance = max(self._chance, self._share.at_held(self._evidence.number))
        if not rate.probing or (chance <= CHANCE and not is_new):
            return True
        # chance may have ended the probe: beyond a limit the next calls are refused, too
        since = ticket.order - self._doubted[-1] if self._doubted else math.inf
        self._doubted.append(ticket.order)
        if since <= min(CONFIRMED_WITHIN, CONFIRMED_BY / chance):
            for order in self._doubted:  # none of the probe was chance
                self._evidence.explain(order)
                self._share.explain(order)
            self._probe.refused = max(0, self._probe.refused - len(self._doubted) + 1)
            self._probe.confirmed = True
            return True
        for one in self.rates.values():
            one.hold_at(FAR, now)
        return False

    def _step_back(self, ticket: Ticket, cluster: Cluster, just_now: float, now: float) -> None:
        width = self.width.proven
        rate = self.rates[REQUESTS]
        known = rate.proven
        if width is None and self._levels.is_above_answered(ticket.level):
            self.width.hold(self._levels.most_answered)
        elif width is not None and ticket.level > width:
            most = self._levels.most_admitted(_settled_before(ticket, now))
            self.width.hold(max(width, min(ticket.level - 1, most)))
        if rate.probing:
            shares = self._evidence.stray_share, self._chance
            delayed = self.delay_s > 0.0
            shown = self._probe.shown(
                rate, self._admitted, ticket.started, just_now, *shares, delayed
            )
            self._probe.confirmed = False
            self._learn(shown, now)
            if delayed:  # then a limit is often found by a probe
                self._probe.note_best(rate.proven, now)
            rate.take(1.0)  # the provider has nothing left: wait for one call
        if cluster.refused > 1:
            self._evidence.clear()
        else:
            self._evidence.single()
        self._measure_at(ticket)
        if not self.paced or rate.proven != known:  # else too high a rate would never be found out
            if known:
                round_ = self._share.round(known, self._evidence.number)
                self._share.held(round_.calls, round_.refused)
                self._history.add([round_])
            self._share.restart(self._evidence.number)
        self._cut(now)

    def _reached(
        self,
        cluster: Cluster,
        ticket: Ticket,
        about: str | None,
        offered: float,
        per_s: float,
        now: float,
    ) -> bool:
        """A cluster of refusals. Returns whether all calls have to wait."""
        width = None
        if about is None and ticket.order > self._held_until:
            width = self._levels.width_shown(
                ticket.order - cluster.calls, ticket.order, _settled_before(ticket, now)
            )
        elif about is None and ticket.level >= (self.width.proven or math.inf):
            first = self._held_until - HELD_CALLS + 1
            width = self._levels.width_since(first, ticket.order)
        before = self.width.known, {name: rate.known for name, rate in self.rates.items()}
        self._held_until = 0
        if width is not None:
            # where refusals go on below that width, it was the rate
            self._held_until = self._evidence.number + HELD_CALLS
            self.width.hold(width)
        if width is None:
            self._reached_rate(cluster, ticket, offered, per_s, before, now)
        self._mark_at(ticket)
        self._cut(now)
        return True

    def _reached_rate(
        self,
        cluster: Cluster,
        ticket: Ticket,
        offered: float,
        per_s: float,
        before: Before,
        now: float,
    ) -> None:
        """Lower the rate to what was admitted, as far as the cluster shows it."""
        refused, calls = self._evidence.recent()
        offered = max(offered, self._at_start(now))
        if not self.paced and ticket.order > KNOWN_CALLS:
            self._share.by_chance = self._evidence.stray_share_before(2 * cluster.calls)
        self._evidence.clear()
        least = LEAST_SHARE * per_s if cluster.calls >= AT_RATE_CALLS else LOWERED * offered
        admitted = max(min(offered * (1.0 - cluster.share), HIGHEST * offered), least)
        self._try_rate(admitted, Round(offered, calls, refused), before, now)

    def _at_start(self, now: float) -> float:
        """Calls per second in the first second."""
        since = now - self._first_at
        return 0.0 if since >= 1.0 else self._evidence.number / max(since, SHORTEST_S)

    def _try_rate(
        self, per_s: float, first: Round, before: Before, now: float, at_rate: bool = False
    ) -> None:
        """Lower the rate, and see whether a smaller share than in these calls is refused. ``at_rate``: they
        were made at the learned rate."""
        known = before if at_rate else None
        last, number = self._last_trial, self._evidence.number
        if last is not None and number - last.ended >= AGAIN_CALLS:
            last = None
        if last is not None:
            before = last.before  # what it taught is in doubt
        self._learn(per_s, now)
        self._trial = RateTrial(before, number, first, per_s, now, last, known)

    def _tried(self, trial: RateTrial, ticket: Ticket, now: float) -> bool:
        """A refusal during a trial. Returns whether to go on at a lower rate."""
        verdict = trial.refused(ticket.order, now)
        width = None
        if self.few and verdict is Verdict.SLOWER:
            # calls that start together reach a provider in any order: later ones tell
            width = self._levels.width_since(trial.first + 1, ticket.order)
        if width is not None:
            self._return_to(trial.before, now)
            self.width.hold(width)
            self._held_until = self._evidence.number + HELD_CALLS
            self._trial = None
            self._evidence.clear()
            self._mark_at(ticket)
            self._cut(now)
            return True
        if verdict is Verdict.LIMIT:
            self._confirm(trial, now)
        elif verdict is Verdict.SLOWER and self._correct(trial, now):
            self._end_by_chance(trial, ticket)
        elif verdict is Verdict.SLOWER:
            number = self._evidence.number
            offered = min(self.rates[REQUESTS].value or 0.0, trial.offered_per_s(number, now))
            lower = offered * max(1.0 - trial.share, LOWEST)
            self._learn(lower, now)
            trial.begin_round(number, now, lower)
            self._mark_at(ticket)
            self._cut(now)
            return True
        elif verdict is Verdict.CHANCE:
            self._return_to(trial.before, now)
            self._last_trial = None
            self._end_by_chance(trial, ticket)
        elif verdict is Verdict.KNOWN and trial.known is not None:
            self._return_to(trial.known, now)
            self._end_by_chance(trial, ticket)
        return False

    def _correct(self, trial: RateTrial, now: float) -> bool:
        """Set the rate to the limit that the calls before the trial show, too, where that is above the
        rate that is tried. Returns whether it is."""
        if trial.known is None:
            return False
        limit = None
        if trial.stray_share <= MOST_BELOW_KNOWN:
            limit = self._history.limit_with([trial.at_rate, *trial.tried])
        if limit is None:
            self._history.clear()
        elif limit >= trial.at_rate.per_s:
            self._return_to(trial.known, now)
            return True
        elif limit > ABOVE * trial.tried[-1].per_s:
            self._learn(limit, now)
            return True
        return False

    def _end_by_chance(self, trial: RateTrial, ticket: Ticket) -> None:
        share = trial.stray_share
        if trial.known is not None:
            share = self._history.share_with(trial.tried)
            self._history.add([trial.at_rate, *trial.tried])
        self._evidence.expect(share)
        self._share.by_chance = share
        self._trial = None
        self._mark_at(ticket)

    def _return_to(self, before: Before, now: float) -> None:
        width, rates = before
        self.width.restore(width)
        for name, known in rates.items():
            self.rates[name].reset(known, now)

    def _confirm(self, trial: RateTrial, now: float) -> None:
        self._probe.note_best(self.rates[REQUESTS].proven, now)
        held = trial.rounds[-1]
        self._share.held(held.calls, held.refused)
        if held.calls >= TELLING_CALLS:  # chance can't bring many more than were refused now
            most = (held.refused + 1.0) / held.calls
            self._share.by_chance = min(self._share.by_chance, most)
            if self._evidence.stray_share > most:
                self._evidence.expect(most)
        self._correct(trial, now)
        if trial.known is None:
            self._history.clear()
            self._history.add(trial.tried[-1:])
        else:
            self._history.add([trial.at_rate, *trial.tried])
        trial.ended = self._evidence.number
        self._trial, self._last_trial = None, trial
        self._evidence.clear()
        self._share.restart(trial.ended)

    def _refused_at_rate(self, ticket: Ticket, now: float) -> bool:
        """A refusal at a learned rate. Returns whether too large a share is refused at it, so that
        a lower one is tried."""
        rate = self.rates[REQUESTS].value
        if rate is None or self._paced_at < ticket.started - 1.0:
            return False
        self._probe.refused += 1
        too_many = self._share.refused(ticket.order)
        if too_many is None:
            return False
        refused, calls = too_many
        if self.rates[REQUESTS].probing:
            self._step_back(ticket, NO_CLUSTER, 0.0, now)
            return False
        before = self.width.known, {name: rate.known for name, rate in self.rates.items()}
        lower = rate * max(1.0 - refused / calls, LOWEST)
        self._try_rate(lower, Round(rate, calls, refused), before, now, at_rate=True)
        self._mark_at(ticket)
        self._cut(now)
        return True

    # --- figures ------------------------------------------------------------------------------

    def _cut(self, now: float) -> None:
        self._cut_at = now + self.delay_s
        self._levels.cut()
        self._admitted_at_cut = self._admitted.requests

    def _mark_at(self, ticket: Ticket) -> None:
        self._measure_at(ticket)
        self._share.restart(self._evidence.number)

    def _measure_at(self, ticket: Ticket) -> None:
        self._admitted.measure_from(ticket.started)
        self._calls = self._probe.refused = 0
        self._doubted.clear()

    @property
    def _chance(self) -> float:
        """The share of calls (0 to 1) that may be refused by chance."""
        return max(self._share.by_chance, self._evidence.stray_share)

    def _plateau(self, now: float) -> float:
        """How many good answers a value is held for."""
        rate = self.rates[REQUESTS]
        per_s = self.width.value / max(self.latency_s, 0.05)
        per_s = min(per_s, rate.proven or per_s)
        return self._probe.plateau(per_s, rate.proven, self._chance, self._cooldown_s, now)

    def _learn(self, per_s: float, now: float) -> None:
        """Learn calls per second, and the tokens that they take."""
        self.rates[REQUESTS].learn(per_s, now)
        self.rates[TOKENS].learn(per_s * max(1.0, self._admitted.tokens_each), now)


def _settled_before(ticket: Ticket, now: float) -> float:
    """A call that started before this time would have been refused by now, by the time that this refusal took."""
    return now - 2.0 * (now - ticket.started)
