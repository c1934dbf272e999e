from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.segment import (
    FIELDS,
    MAX_CONDITIONS,
    MAX_DEPTH,
    All,
    AnyOf,
    Condition,
    Everyone,
    Not,
    Segment,
    dump_segment,
    parse_segment,
)
from app.errors import InvalidInput

CAMPAIGN = "0199b1d2-0000-7000-8000-000000000001"
CONDITIONS = st.sampled_from(
    [
        Condition("tags", "contains", "vip"),
        Condition("tags", "contains_any", ("a", "b")),
        Condition("lang", "in", ("pt", "en")),
        Condition("attributes.plan/tier~1", "gte", 3),
        Condition("attributes.city", "exists", False),
        Condition("lead_score", "lt", 0.5),
        Condition("last_inbound_at", "before", datetime(2026, 1, 2, 3, tzinfo=UTC)),
        Condition("last_outbound_at", "within_days", 7),
        Condition("consent.sms", "eq", True),
        Condition("consent", "eq", "email"),
        Condition("converted", "eq", False),
        Condition("campaign", "member_of", UUID(CAMPAIGN)),
    ]
)
SEGMENTS: st.SearchStrategy[Segment] = st.recursive(
    CONDITIONS | st.just(Everyone()),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: All(tuple(items)))
        | st.lists(inner, min_size=1, max_size=3).map(lambda items: AnyOf(tuple(items)))
        | inner.map(Not)
    ),
    max_leaves=20,
).filter(lambda segment: depth_of(segment) <= MAX_DEPTH)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["all", "any", "not", "field", "op", "value", "x"]), inner, max_size=4)
    ),
    max_leaves=15,
)


def depth_of(segment: Segment) -> int:
    match segment:
        case All(items) | AnyOf(items):
            return 1 + max((depth_of(item) for item in items), default=0)
        case Not(item):
            return 1 + depth_of(item)
        case _:
            return 1


def mistakes(tree: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as raised:
        parse_segment(tree)
    return {error.pointer: error.detail for error in raised.value.errors}


def condition(field: str, op: str, value: Any) -> dict[str, Any]:
    return {"field": field, "op": op, "value": value}


class TestParseSegment:
    def test_nothing_is_everyone(self) -> None:
        assert parse_segment({}) == Everyone()

    def test_reads_the_whole_tree(self) -> None:
        tree = {
            "all": [
                condition("tags", "contains", "vip"),
                {"any": [condition("lang", "eq", "pt"), condition("country", "in", ["PT", "BR"])]},
                {"not": condition("converted", "eq", True)},
            ]
        }
        assert parse_segment(tree) == All(
            (
                Condition("tags", "contains", "vip"),
                AnyOf((Condition("lang", "eq", "pt"), Condition("country", "in", ("PT", "BR")))),
                Not(Condition("converted", "eq", True)),
            )
        )

    def test_both_spellings_of_the_last_message_are_one_field(self) -> None:
        assert parse_segment(condition("last_inbound", "exists", True)) == Condition("last_inbound_at", "exists", True)

    def test_exists_needs_no_value(self) -> None:
        assert parse_segment({"field": "email", "op": "exists"}) == Condition("email", "exists", True)

    def test_a_time_without_offset_is_utc(self) -> None:
        found = parse_segment(condition("last_inbound_at", "after", "2026-01-02T03:00:00"))
        assert found == Condition("last_inbound_at", "after", datetime(2026, 1, 2, 3, tzinfo=UTC))

    def test_an_unknown_field_lists_the_allowed_ones(self) -> None:
        found = mistakes({"all": [condition("tagz", "contains", "vip")]})
        assert list(found) == ["/segment/all/0/field"]
        assert all(field in found["/segment/all/0/field"] for field in FIELDS)

    def test_an_unknown_operator_lists_the_allowed_ones(self) -> None:
        found = mistakes({"not": condition("tags", "like", "v%")})
        assert list(found) == ["/segment/not/op"]
        assert "not_contains" in found["/segment/not/op"]

    @pytest.mark.parametrize(
        ("tree", "pointer"),
        [
            (None, "/segment"),
            ([], "/segment"),
            ({"some": []}, "/segment"),
            ({"all": [], "any": []}, "/segment"),
            ({"all": {}}, "/segment/all"),
            ({"all": [], "x/y": 1}, "/segment/x~1y"),
            ({"any": []}, "/segment/any"),
            ({"not": []}, "/segment/not"),
            ({"any": [{}, 5]}, "/segment/any/1"),
            ({"field": 5, "op": "eq", "value": 1}, "/segment/field"),
            ({"field": "lang", "value": "pt"}, "/segment/op"),
            ({"field": "lang", "op": ["eq"], "value": "pt"}, "/segment/op"),
            ({"field": "lang", "op": "eq"}, "/segment/value"),
            ({"field": "lang", "op": "eq", "value": "pt", "case": 1}, "/segment/case"),
            (condition("attributes.", "eq", "x"), "/segment/field"),
            (condition("attributes.a\0", "eq", "x"), "/segment/field"),
            (condition("lang", "eq", 5), "/segment/value"),
            (condition("lang", "eq", "p\0t"), "/segment/value"),
            (condition("lang", "eq", "\ud800"), "/segment/value"),
            (condition("lang", "in", "pt"), "/segment/value"),
            (condition("lang", "in", []), "/segment/value"),
            (condition("lang", "in", ["pt"] * 1001), "/segment/value"),
            (condition("tags", "contains", ["vip"]), "/segment/value"),
            (condition("lead_score", "gt", "5"), "/segment/value"),
            (condition("lead_score", "gt", True), "/segment/value"),
            (condition("lead_score", "gt", float("nan")), "/segment/value"),
            (condition("lead_score", "gt", 10**400), "/segment/value"),
            (condition("last_inbound_at", "before", "yesterday"), "/segment/value"),
            (condition("last_inbound_at", "before", "0001-01-01T00:00:00+10:00"), "/segment/value"),
            (condition("last_inbound_at", "within_days", 0), "/segment/value"),
            (condition("last_inbound_at", "within_days", 10**9), "/segment/value"),
            (condition("consent.fax", "eq", True), "/segment/field"),
            (condition("consent.sms", "eq", "yes"), "/segment/value"),
            (condition("consent", "eq", "fax"), "/segment/value"),
            (condition("campaign", "member_of", "spring"), "/segment/value"),
            (condition("attributes.a", "eq", {"b": 1}), "/segment/value"),
            (condition("attributes.a", "gt", True), "/segment/value"),
        ],
    )
    def test_names_what_is_wrong(self, tree: Any, pointer: str) -> None:
        assert list(mistakes(tree)) == [pointer]

    def test_reports_all_mistakes_at_once(self) -> None:
        tree = {"all": [condition("a", "eq", 1), {"any": [condition("lang", "eq", 1)]}]}
        assert list(mistakes(tree)) == ["/segment/all/0/field", "/segment/all/1/any/0/value"]

    def test_depth_is_limited(self) -> None:
        tree: dict[str, Any] = condition("lang", "eq", "pt")
        for _ in range(5_000):
            tree = {"not": tree}
        assert list(mistakes(tree)) == ["/segment" + "/not" * MAX_DEPTH]

    def test_size_is_limited(self) -> None:
        half = {"any": [condition("lang", "eq", "pt")] * (MAX_CONDITIONS // 2 + 1)}
        assert "more than" in str(mistakes({"all": [half, half]}))
        assert "more than" in str(mistakes({"all": [{}] * (MAX_CONDITIONS + 1)}))

    @given(SEGMENTS)
    def test_what_is_dumped_reads_the_same(self, segment: Segment) -> None:
        assert parse_segment(dump_segment(segment)) == segment

    @given(JSON)
    def test_any_json_is_read_or_refused(self, tree: Any) -> None:
        with suppress(InvalidInput):
            segment = parse_segment(tree)
            assert parse_segment(dump_segment(segment)) == segment
