# SPDX-License-Identifier: Apache-2.0
"""Words of closed lists, as people read them. A word that is not here is shown as it is."""

from typing import Protocol


class Page(Protocol):
    """Whatever says a sentence in the reader's language."""

    def say(self, sentence: str, /, **values: str | int) -> str: ...


def severity(page: Page, value: str) -> str:
    say = page.say
    return {
        "critical": say("Critical"),
        "high": say("High"),
        "medium": say("Medium"),
        "low": say("Low"),
    }.get(value, value)


def state(page: Page, value: str) -> str:
    """A state of a case."""
    say = page.say
    return {
        "open": say("Open"),
        "assessed": say("Assessed"),
        "second_look": say("Waits for a second look"),
        "in_progress": say("In progress"),
        "resolved": say("Resolved"),
        "unresolved": say("Ended without success"),
        "closed": say("Closed"),
    }.get(value, value)


def dispatch(page: Page, value: str) -> str:
    """A state of a request to a partner or a referral."""
    say = page.say
    return {
        "requested": say("Asked for"),
        "sent": say("Sent"),
        "acknowledged": say("Acknowledged"),
        "removed": say("Removed"),
        "geo_restricted": say("Not shown in the country"),
        "age_restricted": say("Restricted by age"),
        "labelled": say("Labelled"),
        "account_action": say("Action on the account"),
        "already_gone": say("Was gone already"),
        "refused": say("Refused"),
        "disputed": say("Disputed"),
        "seen_gone": say("Seen gone"),
        "no_reply": say("No reply"),
        "ambiguous": say("Not sure it arrived"),
        "failed": say("Failed"),
        "withdrawn": say("Taken back"),
        "delivered": say("Delivered"),
    }.get(value, value)


def attention(page: Page, value: str) -> str:
    """Why a case is back in the queue."""
    say = page.say
    return {
        "reporter_message": say("Reporter wrote"),
        "referral_failed": say("Referral failed"),
        "objection": say("Objection"),
        "late_answer": say("Late answer"),
        "dispatch_failed": say("Request failed"),
        "graver": say("Graver than before"),
        "disputed": say("Partner disputes"),
        "partner_wrote": say("Partner wrote"),
        "reminder_due": say("Remind by hand"),
        "correction_due": say("Correct by hand"),
        "withdrawal_due": say("Take back by hand"),
        "online_after_removal": say("Still online"),
        "reappeared": say("It is back"),
        "disagreement": say("Two people differ"),
        "next_contact": say("Next contact due"),
        "appeal": say("Appeal"),
        "opinion": say("Opinion given"),
        "follower": say("News in a joined case"),
    }.get(value, value)


def signal(page: Page, value: str) -> str:
    """A fact a machine derived or a person ticked."""
    say = page.say
    return {
        "minor_victim": say("A child is concerned"),
        "under_13": say("Under 13"),
        "immediate_danger": say("Immediate danger"),
        "event_within_72h": say("Something planned within 72 hours"),
        "threatened": say("The person is threatened"),
        "address_published": say("An address or identity is published"),
        "self_harm_in_text": say("Signs of self-harm"),
        "many_reporters": say("Many reporters"),
        "content_gone": say("The content is gone"),
        "public_official_target": say("About a public official"),
        "press": say("Press"),
        "has_url": say("Has an address"),
        "needs_expansion": say("Short link, not opened"),
        "personal_data_in_text": say("Personal data in the text"),
    }.get(value, value)


def personal(page: Page, value: str) -> str:
    """A kind of personal data found in a text."""
    say = page.say
    return {
        "email": say("E-mail address"),
        "phone": say("Telephone number"),
        "iban": say("IBAN"),
        "bank_account": say("Bank account"),
        "identity_card": say("Identity card"),
        "street_address": say("Street address"),
        "plate": say("Number plate"),
        "ip_address": say("IP address"),
    }.get(value, value)


def action(page: Page, value: str) -> str:
    """What a decision does."""
    say = page.say
    return {
        "dispatch": say("Ask a partner"),
        "refer": say("Tell an authority"),
        "advise": say("Advise and close"),
        "close": say("Close"),
    }.get(value, value)


def close_reason(page: Page, value: str) -> str:
    say = page.say
    return {
        "no_ground": say("No ground in law or terms"),
        "out_of_scope": say("Not for this hub"),
        "not_a_report": say("Not a report"),
        "content_gone": say("The content is gone"),
        "advised": say("The reporter was advised"),
        "withdrawn": say("Withdrawn by the reporter"),
    }.get(value, value)


def four_eyes(page: Page, value: str) -> str:
    say = page.say
    return {
        "none": say("One person decides"),
        "post": say("Leaves at once, a second person confirms after"),
        "pre": say("Two people before anything leaves"),
        "pre_legal": say("Two people, one of them a legal reviewer, before anything leaves"),
    }.get(value, value)


def channel(page: Page, value: str) -> str:
    say = page.say
    return {
        "web": say("Web form"),
        "api": say("Interface"),
        "email": say("E-mail"),
        "phone": say("Telephone"),
        "chat": say("Chat"),
        "whatsapp": "WhatsApp",
        "social": say("Social network"),
        "partner": say("Partner"),
    }.get(value, value)


def affected(page: Page, value: str) -> str:
    """Whom it is about, as the reporter said."""
    say = page.say
    return {
        "self": say("The reporter"),
        "child": say("A child the reporter knows"),
        "other": say("Somebody else"),
    }.get(value, value)


def risk(page: Page, value: str) -> str:
    """A question of the risk screen that was answered with yes."""
    say = page.say
    return {
        "meeting_planned": say("A meeting is planned"),
        "threatened": say("Threat or blackmail"),
        "self_harm": say("Thoughts of self-harm"),
        "unsafe_place": say("Home or device is not safe: do not call, do not write there"),
    }.get(value, value)


def screen(page: Page, value: str) -> str:
    """A question of the protected-speech screen."""
    say = page.say
    return {
        "opinion": say("Is it an opinion?"),
        "satire": say("Is it satire or art?"),
        "journalism": say("Is it journalism?"),
        "research": say("Is it research or teaching?"),
        "religion": say("Is it a religious belief?"),
        "public_interest": say("Is it a matter of public interest?"),
    }.get(value, value)


def refer_when(page: Page, value: str) -> str:
    """What must hold before an authority is told."""
    say = page.say
    return {
        "always": say("always told"),
        "on_consent": say("if the reporter agrees"),
        "on_consent_or_child_at_risk": say("if the reporter agrees, or a child is at risk"),
        "on_danger": say("if there is danger"),
        "on_legal_ground": say("on a legal ground"),
    }.get(value, value)


def field(page: Page, value: str) -> str:
    """A field of a form, as a refusal names it."""
    say = page.say
    return {
        "action": say("What is done"),
        "advice": say("Advice"),
        "assessment": say("Assessment"),
        "authorities": say("Authorities"),
        "category": say("What it is"),
        "close_reason": say("Why it ends"),
        "confirmed_by": say("Second person"),
        "dismissed": say("Not true"),
        "exception": say("Why it cannot wait"),
        "ground": say("Ground"),
        "item": say("The item"),
        "note": say("Note"),
        "partners": say("Partners"),
        "reason": say("Reason"),
        "report_id": say("To whom"),
        "role": say("Role"),
        "scope": say("Where it should not be shown"),
        "screen": say("Protected-speech screen"),
        "screen_note": say("Why it is unlawful all the same"),
        "signals": say("Also true"),
        "target": say("Target"),
        "text": say("Text"),
        "body": say("To whom"),
        "linked": say("Its id"),
        "locations": say("Addresses and accounts"),
        "narrative": say("What happened"),
        "next_at": say("Next contact"),
        "second": say("Second person"),
        "answers": say("Answers"),
        "author": say("Who said it"),
        "confirm": say("Answer"),
        "decided_by": say("Whoever answers"),
        "decision_id": say("Decision"),
        "grounds": say("What they ask, and why"),
        "ids": say("Ids of cases"),
        "measure": say("What is asked for"),
        "measure_note": say("Why nothing milder would do"),
        "on": say("Said on"),
        "outcome": say("Answer"),
        "owner": say("Who follows it"),
        "partner": say("Partner"),
        "queue": say("Queue"),
        "question": say("Question"),
        "rabat": say("Six-part test"),
        "reports": say("Reports"),
        "selection": say("Which cases"),
        "selection.ids": say("Ids of cases"),
        "side": say("Who asks"),
        "state": say("State"),
        "withdraw": say("What is taken back"),
        "agree": say("Was it right?"),
        "case_id": say("Id of the case"),
        "channel": say("How it came"),
        "expected": say("The right category"),
        "identity": say("Who asks, and how to answer"),
        "kind": say("What is asked"),
        "pieces": say("What was detected"),
        "received": say("Received"),
        "until": say("When somebody must look whether it is still needed"),
        "words": say("Other pieces, one a line"),
    }.get(value, value)


def kind(page: Page, value: str) -> str:
    """A kind of item."""
    say = page.say
    return {
        "account": say("account"),
        "channel": say("channel"),
        "comment": say("comment"),
        "group": say("group"),
        "invite": say("invitation"),
        "link": say("short link"),
        "listing": say("listing"),
        "live": say("live stream"),
        "mailbox": say("mailbox"),
        "message": say("message"),
        "number": say("telephone number"),
        "page": say("page"),
        "photo": say("photo"),
        "playlist": say("playlist"),
        "post": say("post"),
        "report": say("no address"),
        "site": say("whole site"),
        "story": say("story"),
        "video": say("video"),
    }.get(value, value)


def non_data(page: Page, value: str) -> str:
    """A contact that was nobody's need."""
    say = page.say
    return {
        "silent": say("Silent"),
        "hang_up": say("Hung up"),
        "abusive": say("Abusive"),
        "thanks": say("Thanks"),
        "question": say("Question"),
        "wrong_number": say("Wrong number"),
    }.get(value, value)


def contact_channel(page: Page, value: str) -> str:
    say = page.say
    return {
        "phone": say("Telephone"),
        "chat": say("Chat"),
        "email": say("E-mail"),
        "walk_in": say("In person"),
        "web": say("Web form"),
    }.get(value, value)


def about(page: Page, value: str) -> str:
    say = page.say
    return {
        "self": say("about themselves"),
        "somebody_else": say("about somebody else"),
    }.get(value, value)


def age(page: Page, value: str) -> str:
    say = page.say
    return {
        "under_13": say("Under 13"),
        "13_17": say("13 to 17"),
        "18_24": say("18 to 24"),
        "25_plus": say("25 or older"),
        "unknown": say("Age not known"),
    }.get(value, value)


def gender(page: Page, value: str) -> str:
    say = page.say
    return {
        "girl_woman": say("Girl or woman"),
        "boy_man": say("Boy or man"),
        "other": say("Other"),
        "unknown": say("Not known"),
    }.get(value, value)


def need(page: Page, value: str) -> str:
    """A category of Child Helpline International."""
    say = page.say
    return {
        "missing_children": say("Missing children"),
        "violence": say("Violence, online violence included"),
        "mental_health": say("Mental health"),
        "physical_health": say("Physical health"),
        "access_to_services": say("Access to services"),
        "discrimination": say("Discrimination and exclusion"),
        "family": say("Family relationships"),
        "peers": say("Peer relationships"),
        "education_work": say("Education and work"),
        "sexuality": say("Sexuality"),
    }.get(value, value)


def urgency(page: Page, value: str) -> str:
    say = page.say
    return {
        "critical": say("Critical"),
        "high": say("High"),
        "normal": say("Normal"),
    }.get(value, value)


def risk_question(page: Page, value: str) -> str:
    say = page.say
    return {
        "danger_now": say("Danger now, or a meeting planned?"),
        "minor": say("Under 18?"),
        "threatened": say("Threat, blackmail, or the offender knows where they live?"),
        "self_harm": say("Signs of self-harm?"),
        "unsafe_place": say("Is home or this device unsafe?"),
    }.get(value, value)


def help_action(page: Page, value: str) -> str:
    say = page.say
    return {
        "listened": say("Listened"),
        "information": say("Gave information"),
        "safety_plan": say("Made a safety plan"),
        "help_with_report": say("Helped to report"),
        "hand_over_child_protection": say("To child protection"),
        "hand_over_health": say("To health services"),
        "hand_over_police": say("To the police"),
        "hand_over_mental_health": say("To mental-health services"),
        "hand_over_school": say("To the school"),
        "hand_over_other": say("To another body"),
    }.get(value, value)


def role(page: Page, value: str) -> str:
    say = page.say
    return {
        "analyst": say("Analyst"),
        "legal_reviewer": say("Legal reviewer"),
        "supervisor": say("Supervisor"),
        "counsellor": say("Counsellor"),
        "data_officer": say("Data-protection officer"),
        "independent_reviewer": say("Independent reviewer"),
        "auditor": say("Auditor"),
        "rules_manager": say("Rules manager"),
        "administrator": say("Administrator"),
        "observer": say("Observer"),
        "child_safety": say("Child safety"),
    }.get(value, value)


def measure(page: Page, value: str) -> str:
    """What a partner is asked to do."""
    say = page.say
    return {
        "label": say("Put a warning on it"),
        "age_restrict": say("Show it to adults only"),
        "geo_restrict": say("Do not show it in the country"),
        "remove": say("Remove it"),
        "account_action": say("Act on the account"),
    }.get(value, value)


def rabat(page: Page, value: str) -> str:
    """A part of the threshold test of incitement."""
    say = page.say
    return {
        "context": say("Context"),
        "speaker": say("Speaker"),
        "intent": say("Intent"),
        "content": say("Content and form"),
        "extent": say("Extent"),
        "likelihood": say("Likelihood of harm, and how soon"),
        "conclusion": say("Threshold of incitement"),
    }.get(value, value)


def answer(page: Page, value: str) -> str:
    """An answer to a question of the assessment."""
    say = page.say
    return {
        "yes": say("Yes"),
        "no": say("No"),
        "unsure": say("Not sure"),
        "not answered": say("not answered"),
    }.get(value, value)


def skip_reason(page: Page, value: str) -> str:
    say = page.say
    return {
        "opted_out": say("No reason given"),
        "too_distressing": say("Too distressing"),
        "no_language": say("I do not read the language"),
        "conflict_of_interest": say("Conflict of interest"),
        "needs_other_expertise": say("Needs other expertise"),
        "unclear": say("Unclear"),
    }.get(value, value)


def why(page: Page, value: str) -> str:
    """A word that says why a case was given back or opened again."""
    say = page.say
    return {
        "done": say("It is done"),
        "reappeared": say("It came back"),
    }.get(value, value)


def side(page: Page, value: str) -> str:
    """Who asks for a decision to be looked at again."""
    say = page.say
    return {
        "reporter": say("The reporter"),
        "affected": say("A person affected"),
        "partner": say("The partner"),
    }.get(value, value)


def appeal(page: Page, value: str) -> str:
    """What became of an appeal."""
    say = page.say
    return {
        "open": say("Waits for an answer"),
        "upheld": say("The decision stands"),
        "reversed": say("The decision is reversed"),
        "partly": say("Part of it is taken back"),
    }.get(value, value)


def seen(page: Page, value: str) -> str:
    """What the hub last saw at an address."""
    say = page.say
    return {
        "checking": say("Still there"),
        "gone": say("Seen gone"),
        "reappeared": say("It is back"),
        "manual": say("A person must look"),
        "ended": say("Not watched any more"),
    }.get(value, value)


def bulk(page: Page, value: str) -> str:
    """One act on many cases."""
    say = page.say
    return {
        "close": say("Close"),
        "assign": say("Name who follows them"),
        "move": say("Move to another queue"),
        "note": say("Write a note"),
        "skip": say("Pass on"),
        "release": say("Take back from whoever holds them"),
    }.get(value, value)


def entry(page: Page, value: str) -> str:
    """What happened, in the list of everything that happened to a case."""
    say = page.say
    if value.startswith("dispatch_"):
        return dispatch(page, value.removeprefix("dispatch_"))
    if value.startswith("seen_"):
        return seen(page, value.removeprefix("seen_"))
    return {
        "report": say("A report came"),
        "message": say("A message"),
        "note": say("Note"),
        "dispatch": say("A partner was asked"),
        "referral": say("An authority was told"),
        "decide_dispatch": say("Decided to ask a partner"),
        "decide_refer": say("Decided to tell an authority"),
        "decide_advise": say("Advised and closed"),
        "decide_close": say("Closed"),
        "confirm": say("Confirmed"),
        "reject": say("Rejected"),
        "disagree": say("Two people differ"),
        "judge": say("Said what it is, before reading the first person"),
        "first_look": say("First look"),
        "claim": say("Claimed"),
        "take_over": say("Taken over"),
        "release": say("Given back"),
        "assess": say("Assessed"),
        "reopen": say("Opened again"),
        "correct_request": say("A request was corrected"),
        "insist_request": say("Insisted on a request"),
        "withdraw_request": say("A request was taken back"),
        "assign": say("Who follows it"),
        "plan": say("Planned"),
        "skip": say("Passed on"),
        "move": say("Moved to another queue"),
        "next_contact_due": say("Next contact due"),
        "merge": say("Joined with other cases"),
        "part": say("Left its group"),
        "split": say("Reports were split off"),
        "undo_merge": say("The cases were taken apart again"),
        "undo_split": say("The reports came back"),
        "apply_assessment": say("Assessment applied to the joined cases"),
        "apply_decision": say("Decision applied to the joined cases"),
        "appeal_by_reporter": say("Appeal of the reporter"),
        "appeal_by_affected": say("Appeal of a person affected"),
        "appeal_by_partner": say("Appeal of the partner"),
        "appeal_upheld": say("Appeal answered: the decision stands"),
        "appeal_reversed": say("Appeal answered: the decision is reversed"),
        "appeal_partly": say("Appeal answered: part of it is taken back"),
        "ask_opinion": say("An opinion was asked for"),
        "give_opinion": say("Opinion given"),
        "first_look_missed": say("The first look is late"),
        "confirmation_missed": say("The confirmation is late"),
        "redact": say("A text was redacted for good"),
        "erase_notes": say("Notes were erased"),
        "mark_golden": say("Marked for practice"),
        "retire_golden": say("No longer for practice"),
        "hold": say("Legal hold"),
        "ask_lift_hold": say("Somebody asks to lift it"),
        "keep_hold": say("The hold stays"),
        "lift_hold": say("Lifted"),
    }.get(value, value)


def act(page: Page, value: str) -> str:
    """An act as the audit trail names it."""
    say = page.say
    if value.startswith("tried_"):
        return say("Tried to come in")
    if value.endswith("_full"):
        return say("Came in")
    if value.endswith(("_enrol", "_second")):
        return say("Gave the first proof")
    return {
        "recovery_codes": say("New recovery codes"),
        "read": say("Read"),
        "read_unredacted": say("Read with personal data"),
        "read_golden": say("Read for practice"),
        "answer_golden": say("Answered in practice"),
        "read_for_review": say("Read for the independent review"),
        "review_agreed": say("The independent reviewer agreed"),
        "review_disagreed": say("The independent reviewer disagreed"),
        "read_to_redact": say("Read to be redacted"),
        "redact_note": say("A note was redacted for good"),
        "redact_message": say("A message was redacted for good"),
        "write": say("Wrote to the reporter"),
        "act_automatically": say("A rule acted by itself"),
        "erase_contact": say("Ways to reach reporters were erased"),
        "erase_text": say("Texts were erased"),
        "erase_case": say("The case was erased"),
        "erase_records": say("Records whose time is over were erased"),
        "erase_audit": say("Audit rows whose time is over were erased"),
        "bulk": say("Bulk action"),
        "search": say("Searched"),
        "holds": say("Looked at the holds of a case"),
        "export_audit": say("Audit exported"),
        "figures": say("Looked at the figures"),
        "agreement": say("Looked at their own agreement"),
        "golden": say("Looked at their own practice"),
        "trail": say("Looked at an audit trail"),
        "person": say("Looked at a person’s day"),
        "verify": say("Checked a sealed day"),
        "all": say("Looked at all their queues"),
        "api": say("Read the queue by the API"),
        "made": say("Account made"),
        "invited": say("Invited"),
        "invited_again": say("Invited to set a new password"),
        "roles_changed": say("Roles or queues changed"),
        "roles_followed": say("Roles follow the organisation"),
        "disabled": say("Account disabled"),
        "enabled": say("Account enabled"),
        "totp_set": say("App set up"),
        "totp_reset": say("App forgotten"),
        "password_changed": say("Password changed"),
        "code_accepted": say("Code of conduct accepted"),
        "sessions_ended": say("Sessions ended"),
        "signed_out": say("Signed out"),
        "stepped_up": say("Showed again who they are"),
        "open_helpline": say("Helpline case opened"),
        "screen": say("Risk questions asked"),
        "act": say("What was done was written down"),
        "hand_over": say("Handed over to another body"),
        "second": say("A second person agreed"),
        "link": say("Linked"),
        "close": say("Helpline case closed"),
        "register": say("Request entered"),
    }.get(value) or subject_state(page, entry(page, value))


def judged(page: Page, value: str) -> str:
    """What somebody said of another person’s decision."""
    say = page.say
    return {
        "agreed": say("Agreed"),
        "disagreed": say("Disagreed"),
        "confirmed": say("Confirmed"),
        "rejected": say("Rejected"),
    }.get(value, value)


def safeguard(page: Page, value: str) -> str:
    """A safeguard of expression."""
    say = page.say
    return {
        "FE0": say("Nothing more is asked"),
        "FE1": say("A ground is recorded"),
        "FE2": say("A ground and a protected-speech screen"),
        "FE3": say("A ground, a protected-speech screen and a legal reviewer"),
        "FE3-block": say("It never leaves the hub"),
    }.get(value, value)


def stands(page: Page, value: str) -> str:
    say = page.say
    return {"stands": say("Stands"), "reversed": say("Reversed on appeal")}.get(value, value)


def subject_kind(page: Page, value: str) -> str:
    """A right of a data subject."""
    say = page.say
    return {
        "access": say("Access"),
        "rectification": say("Rectification"),
        "erasure": say("Erasure"),
        "objection": say("Objection"),
        "other": say("Other"),
    }.get(value, value)


def subject_state(page: Page, value: str) -> str:
    say = page.say
    return {
        "received": say("Received"),
        "identified": say("Identity shown"),
        "in_work": say("In work"),
        "answered": say("Answered"),
        "refused": say("Refused"),
        "withdrawn": say("Withdrawn by whoever asked"),
    }.get(value, value)


def request_channel(page: Page, value: str) -> str:
    say = page.say
    return {
        "email": say("E-mail"),
        "letter": say("Letter"),
        "in_person": say("In person"),
        "phone": say("Telephone"),
        "web": say("Web form"),
    }.get(value, value)


def retained(page: Page, value: str) -> str:
    """Of what retention erases something."""
    say = page.say
    return {
        "report": say("Report"),
        "case": say("Case"),
        "helpline": say("Helpline cases"),
    }.get(value, value)


def erased(page: Page, value: str) -> str:
    """What retention erases."""
    say = page.say
    return {
        "contact": say("How the reporter may be reached"),
        "text": say("Texts"),
        "record": say("The record itself"),
    }.get(value, value)


def stop(page: Page, value: str) -> str:
    """Why something stays, or that it does not."""
    say = page.say
    return {
        "due": say("Due now"),
        "open": say("Stays: somebody still works on it"),
        "held": say("Stays: legal hold"),
        "not_due": say("Stays: its time is not over"),
        "no_clock": say("Stays: the country pack has no clock for it"),
    }.get(value, value)


def stream(page: Page, value: str) -> str:
    """A stream of the audit trail that is no case."""
    say = page.say
    return {
        "people": say("People"),
        "rules": say("Rules"),
        "exports": say("Exports"),
        "retention": say("Retention"),
        "subject_requests": say("Requests of data subjects"),
        "bulk": say("Bulk actions"),
    }.get(value, value)


def broken(page: Page, value: str) -> str:
    """Why a chain or a seal does not hold."""
    say = page.say
    return {
        "missing": say("A row is missing"),
        "added": say("A row was added"),
        "changed": say("A row was changed"),
        "rewritten": say("A row was written anew"),
        "does_not_follow": say("A row does not follow from the one before"),
        "not_the_head": say("The last row is not the one the stream ends with"),
        "not_sealed": say("The day is not sealed"),
        "seal_changed": say("The seal was changed"),
        "seal_of_another_key": say("The seal bears another key"),
        "ends_changed": say("The sealed list of streams was changed"),
        "root_differs": say("The rows do not fit the root"),
    }.get(value, value)


def proved(page: Page, route: str) -> str:
    """What somebody was about to do when they were asked again who they are; the pattern of its
    address below the language.
    """
    say = page.say
    return {
        "people": say("Invite somebody"),
        "people/{name}": say("Change an account"),
        "account/recovery": say("New recovery codes"),
        "cases/{case_id}/unmasked": say("Show personal data this once (audited)"),
        "protection/cases/{case_id}/holds": say("Set a legal hold"),
        "protection/cases/{case_id}/lifting": say("Lift a legal hold"),
        "protection/cases/{case_id}/keeping": say("The hold stays"),
        "protection/cases/{case_id}/reports/{report_id}": say("Redact for good"),
    }.get(route, say("Go on with what you began"))


def effect(page: Page, kind: str, levels: int = 1) -> str:
    """What a rule does; its object is shown beside it."""
    say = page.say
    return {
        "queue": say("Into the queue"),
        "flag": say("Mark"),
        "page": say("Wake whoever is on duty"),
        "suggest": say("Suggest"),
        "classify": say("Work it as"),
        "dispatch": say("Ask a partner at once"),
        "raise": say("Raise severity by {n}", n=levels),
        "lower": say("Lower severity by {n}", n=levels),
        "set": say("Severity at least"),
        "hold": say("A legal reviewer looks first"),
    }.get(kind, kind)
