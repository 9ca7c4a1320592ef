from deploy.control.lead import MARGIN_S, RECENT, Lead


def test_the_lead_is_the_slowest_recent_answer_and_a_margin_and_a_period_at_most():
    lead = Lead(0.02, 0.1)
    assert lead.seconds == 0.02 + MARGIN_S
    lead.heard(0.05)
    lead.heard(0.03)
    assert lead.seconds == 0.05 + MARGIN_S
    lead.heard(0.4)
    assert lead.seconds == 0.1
    for _ in range(RECENT):
        lead.heard(0.03)
    assert lead.seconds == 0.03 + MARGIN_S
