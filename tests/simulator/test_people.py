from collections import Counter
from decimal import Decimal

import pytest

from app.simulator.behaviour import Behaviour, PersonScript, Shares, Step
from app.simulator.people import People, normal_address
from tests.simulator.receiver import ASHA, RUI, Client, Receiver, mail, until

MANY = [f"+3519{number:08d}" for number in range(4_000)]


def share(counts: Counter[str], name: str) -> float:
    return counts[name] / counts.total()


class TestNormalAddress:
    def test_phones_get_their_plus_and_mail_is_lower_case(self) -> None:
        assert normal_address("351 910-000-001") == ASHA
        assert normal_address("Ana@Example.COM ") == "ana@example.com"


class TestPlan:
    def test_same_address_and_seed_give_the_same_plan(self) -> None:
        behaviour = Behaviour(shares=Shares(read=0.5, reply=0.3, fail=0.2))
        plans = [[People().plan(behaviour, "whatsapp", address, 1) for address in MANY] for _ in range(2)]
        assert plans[0] == plans[1]
        other = behaviour.model_copy(update={"seed": "other"})
        assert [People().plan(other, "whatsapp", address, 1) for address in MANY] != plans[0]

    def test_shares_are_met_among_many(self) -> None:
        shares = Shares(fail=0.1, not_on_whatsapp=0.05, reply=0.2, stop=0.1, buy=0.1, bounce=0.5)
        plans = [People().plan(Behaviour(shares=shares), "whatsapp", address, 1) for address in MANY]
        fates = Counter(plan.fate for plan in plans)
        assert share(fates, "fail") == pytest.approx(0.1, abs=0.02)
        assert share(fates, "not_on_whatsapp") == pytest.approx(0.05, abs=0.02)
        assert fates["bounce"] == 0  # is not for WhatsApp
        acts = Counter(plan.acts[0].do if plan.acts else "none" for plan in plans if plan.fate == "deliver")
        assert share(acts, "reply") == pytest.approx(0.2, abs=0.03)
        assert share(acts, "stop") == pytest.approx(0.1, abs=0.03)

    def test_deliver_share_leaves_the_rest_silent(self) -> None:
        behaviour = Behaviour(shares=Shares(deliver=0.6, fail=0.1))
        fates = Counter(People().plan(behaviour, "sms", address, 1).fate for address in MANY)
        assert share(fates, "silent") == pytest.approx(0.3, abs=0.03)

    def test_people_act_once_after_one_of_the_weighted_messages(self) -> None:
        behaviour = Behaviour(shares=Shares(reply=1), after_weights=[0.5, 0, 0.5])
        per_message = [
            sum(bool(People().plan(behaviour, "whatsapp", address, nth).acts) for address in MANY)
            for nth in range(1, 5)
        ]
        assert sum(per_message) == len(MANY)
        assert per_message[1] == per_message[3] == 0
        assert per_message[0] == pytest.approx(2_000, abs=150)

    def test_a_channel_can_have_shares_of_its_own(self) -> None:
        behaviour = Behaviour(shares=Shares(fail=1), channel_shares={"sms": Shares()})
        assert People().plan(behaviour, "whatsapp", ASHA, 1).fate == "fail"
        assert People().plan(behaviour, "sms", ASHA, 1).fate == "deliver"

    def test_script_is_tied_to_the_message_it_names(self) -> None:
        people = People()
        script = [Step(do="read"), Step(do="reply", after=2, text="two"), Step(do="fail", after=3)]
        people.set_scripts([PersonScript(address="351910000001", script=script)])
        first, second, third, fourth = (people.plan(Behaviour(), "whatsapp", ASHA, nth) for nth in (1, 2, 3, 4))
        assert (first.read, first.acts) == (True, ())
        assert [act.text for act in second.acts] == ["two"]
        assert third.fate == "fail"
        assert (fourth.fate, fourth.acts) == ("deliver", ())

    def test_script_for_one_channel_leaves_the_other_alone(self) -> None:
        people = People()
        people.set_scripts([PersonScript(address=ASHA, channel="sms", script=[Step(do="fail")])])
        assert people.plan(Behaviour(), "sms", ASHA, 1).fate == "fail"
        assert people.plan(Behaviour(), "whatsapp", ASHA, 1).fate == "deliver"


class TestActs:
    async def test_reply_after_the_second_message_opens_the_window(self, client: Client, listening: Receiver) -> None:
        await client.script(ASHA, {"do": "reply", "after": 2, "text": "Sim!"})
        await client.template()
        await until(lambda: len(listening.whatsapp("statuses")) == 2)
        assert listening.whatsapp("messages") == []
        await client.template()
        await until(lambda: listening.whatsapp("messages"))
        assert listening.whatsapp("messages")[0]["text"]["body"] == "Sim!"
        hello = {"messaging_product": "whatsapp", "to": ASHA, "type": "text", "text": {"body": "Thanks"}}
        assert (await client.whatsapp(hello)).status == 200
        assert (await client.stats())["people_by_channel"]["whatsapp"]["replied"] == 1

    async def test_stop_on_sms_is_sent_and_blocks(self, client: Client, listening: Receiver) -> None:
        await client.script(ASHA, "stop")
        await client.sms()
        await until(lambda: listening.at("/sms"))
        assert listening.at("/sms")[0].form["Body"] == "STOP"
        assert (await client.sms()).json["code"] == 21610
        assert (await client.stats())["people"]["stopped"] == 1

    async def test_purchase_is_posted_to_the_shop_until_it_is_taken(self, client: Client, listening: Receiver) -> None:
        await client.control("PUT", "/sandbox/shop", {"url": listening.url + "/shop", "api_key": "k-1"})
        await client.script(ASHA, {"do": "buy", "amount": "49.90"})
        await client.script("ana@example.com", "buy")
        listening.statuses = [200, 503, 503]
        await client.template(reference="ref-1")
        await client.mail(mail("ana@example.com"))
        await until(lambda: len({posted.json["order_id"] for posted in listening.at("/shop")}) == 2)
        bought = [posted.json for posted in listening.at("/shop")]
        by_phone = next(order for order in bought if "phone" in order)
        assert (by_phone["phone"], by_phone["amount"], by_phone["currency"]) == (ASHA, "49.90", "EUR")
        assert any(order.get("email") == "ana@example.com" for order in bought)
        assert {posted.headers["Authorization"] for posted in listening.at("/shop")} == {"Bearer k-1"}
        stats = await client.stats()
        assert stats["people"]["bought"] == 2
        amounts = {order["order_id"]: Decimal(order["amount"]) for order in bought}
        assert stats["spent"] == {"EUR": str(sum(amounts.values()))}

    async def test_outcomes_are_counted_per_person_and_channel(self, client: Client) -> None:
        await client.script(ASHA, "read")
        await client.script(RUI, "fail")
        for to in (ASHA, RUI):
            await client.template(to)
        while (await client.stats())["webhooks"]["pending"]:
            pass
        people = (await client.stats())["people"]
        assert (people["delivered"], people["read"], people["failed"]) == (1, 1, 1)
