# SPDX-License-Identifier: Apache-2.0
"""What the lexicon of the Moroccan pack suggests, and how far a suggestion may go."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasl_schemas.country_pack import CountryPack, load_country_pack
from wasl_schemas.events.common import Severity
from wasl_schemas.lexicon import Lexicon
from wasl_schemas.taxonomy import Signal
from wasl_triage.domain.suggesting import LexiconError, Suggester, Suggestion
from wasl_triage.domain.suggesting.text import SCAN_LIMIT, haystack, needles

PACKS = Path(__file__).parents[3] / "deploy" / "country-packs"
PACK = load_country_pack(PACKS / "ma")
SUGGESTER = Suggester(PACK)

#: One way or more to tell of each category, in every register.
TOLD = [
    ("csam", "هذا الموقع فيه صور أطفال في وضعيات غير لائقة"),
    (
        "csam",
        "someone in this telegram group sells folders with pictures of kids, i left immediately",
    ),
    ("csam", "lqit f google drive dossier fih tsawer dyal drari machi normal"),
    ("csam", "On vend sur ce compte des vidéos de mineures, le pseudo propose un menu en privé"),
    ("csam", "quelqu'un propose d'échanger des images d'enfants abusés sur ce forum"),
    (
        "child_grooming",
        "واحد خدام فالنادي كيصيفط لبنتي عندها 12 عام ميساجات فالليل وقال ليها ما تقولها لحد",
    ),
    (
        "child_grooming",
        "Ma petite sœur de 14 ans parle avec un homme de 35 ans rencontré sur Discord, il veut la voir seule",
    ),
    ("child_grooming", "an adult on roblox promised my nephew robux if he sends selfies"),
    ("child_grooming", "bnti 3ndha 13 3am wahd rajel kaytleb mnha tsawer f snap"),
    ("child_grooming", "A grown man keeps asking my 11 year old cousin to turn on the camera"),
    ("sextortion", "He recorded our video call and now wants 300 dollars or everyone sees it"),
    ("sextortion", "سجل المكالمة وهو الآن يطلب المال وإلا سيرسل الفيديو إلى زوجي"),
    ("sextortion", "فتاة على الأنستغرام صورتني وتهددني إن لم أرسل التعبئة"),
    ("sextortion", "on me demande 2000 dh sinon ma vidéo intime sera envoyée à ma famille"),
    ("sextortion", "tle3 liya f video call w daba bgha flous wla yssift video l s7abi"),
    ("sextortion", "هددتني بإرسال المقطع إلى عائلتي إن لم أحول المبلغ"),
    ("intimate_image_abuse", "Mon ex a créé un groupe Telegram avec mes photos nues"),
    ("intimate_image_abuse", "خطيبي السابق كينشر تصاوري الخاصين فواحد القناة"),
    ("intimate_image_abuse", "They put my sister's face on a nude body with an app and share it"),
    ("intimate_image_abuse", "nchro tsawri khasin bla khbari"),
    ("intimate_image_abuse", "صور حميمة لي أخذت أثناء الزواج تنشر الآن على موقع أجنبي"),
    ("child_exposure", "La page d'une crèche publie les visages des bébés avec leurs noms"),
    ("child_exposure", "واحد السيدة كتسعى بولادها فاللايف كل ليلة"),
    ("child_exposure", "A channel films homeless kids for money in prank videos"),
    ("cyberbullying", "Les filles de 3e ont fait un compte pour noter le physique de ma fille"),
    ("cyberbullying", "كيعايرو ولدي فواتساب ديال القسم وكيسميوه بسميات خايبة"),
    ("cyberbullying", "kids from school made a page to laugh at my son, he cries every evening"),
    ("cyberbullying", "sa7bati f collège dayrin groupe bach yd7ko 3liya"),
    ("cyberbullying", "ختي كتقرا فالإعدادية ودارو عليها صفحة كيضحكو فيها على لبسها"),
    ("cyber_harassment", "طليقي يتصل بي خمسين مرة في اليوم ويراقب حساباتي"),
    (
        "cyber_harassment",
        "Un client m'envoie sans arrêt des messages malgré mes refus, il connaît mes horaires",
    ),
    (
        "cyber_harassment",
        "a stranger comments under all my posts and creates a new account each time I block",
    ),
    ("cyber_harassment", "wahd kaysift lia messages khaybin kola nhar w blockito ch7al mn mera"),
    ("cyber_harassment", "My former boss emails me obscene comments every week"),
    ("threats", "قال لي في رسالة صوتية إنه سيكسر رجلي إذا خرجت"),
    ("threats", "Il écrit qu'il va m'attendre devant mon travail avec un couteau"),
    ("threats", "gal lia ghadi y7re9 lia dar"),
    ("threats", "someone said in a comment he will come to my school with a gun tomorrow"),
    ("threats", "وصلني تعليق فيه: سأحرق بيتك وأنت نائم"),
    ("suicide_selfharm", "صاحبتي كتبات فالستوري باللي ما باقاش باغا تعيش"),
    ("suicide_selfharm", "mon cousin a posté une lettre d'adieu et a coupé son téléphone"),
    (
        "suicide_selfharm",
        "a girl in a discord server shows cuts on her arms and says tonight is the end",
    ),
    ("suicide_selfharm", "khouya kaygoul ghadi y9tel raso"),
    ("suicide_selfharm", "un ami dit qu'il n'a plus la force de vivre et a donné ses affaires"),
    (
        "privacy_violation",
        "Quelqu'un a mis mon numéro et l'adresse de mes parents dans un groupe Facebook",
    ),
    ("privacy_violation", "واحد المحل ناشر تصاور الزبناء من الكاميرا ديالو"),
    ("privacy_violation", "جارتي تسجل مكالماتنا وتنشرها"),
    ("privacy_violation", "my colleague published screenshots of my private chat"),
    ("personal_data", "Une application de crédit a lu tous mes contacts et leur écrit"),
    ("personal_data", "بغيت نمسح الحساب ديالي والشركة ما بغاتش تحيد المعلومات"),
    ("personal_data", "The gym shares member data with advertisers without telling us"),
    ("personal_data", "un opérateur m'envoie des SMS publicitaires malgré le STOP"),
    ("personal_data", "موقع عقاري يعرض رقمي رغم أنني طلبت حذفه ثلاث مرات"),
    ("impersonation", "شخص أنشأ حسابا بصوري واسمي ويتحدث مع أصدقائي"),
    ("impersonation", "Quelqu'un a ouvert un compte Instagram avec les photos de ma sœur"),
    ("impersonation", "someone hacked my page and changed the email"),
    ("impersonation", "sre9 liya insta w kaytleb flous mn s7abi"),
    ("impersonation", "had compte dayer smiti w tsawri w kayhder m3a l3a2ila dyali"),
    ("defamation", "Un ancien employé écrit sur LinkedIn que je vole mes salariés, c'est faux"),
    ("defamation", "كينشرو علينا بأن المطعم ديالنا فيه الغش وهادشي كدوب"),
    ("defamation", "A blogger says our clinic kills patients, completely invented"),
    ("defamation", "منشور يتهمني باختلاس أموال الجمعية بلا أي حجة"),
    ("hate_speech", "منشور يصف المهاجرين بالحيوانات ويدعو إلى طردهم"),
    ("hate_speech", "Un groupe dit que les Amazighs sont inférieurs"),
    ("hate_speech", "had lpage katseb lafari9a w katgoul khass yjriw 3lihom"),
    ("hate_speech", "video calling disabled people a burden who should not have rights"),
    ("hate_speech", "كومنتير كيقول النسا ما خاصهمش يخدمو ومكانهم الكوزينة"),
    ("incitement_violence", "منشور يدعو إلى حرق المحلات ليلة الأحد"),
    (
        "incitement_violence",
        "Ils organisent une expédition punitive contre les étudiants de l'autre fac",
    ),
    ("incitement_violence", "kaygoulo yallah nhersso lbab dyal lm9ata3a ghda"),
    ("incitement_violence", "post tells supporters to bring stones to the match"),
    ("incitement_violence", "Un message demande de brûler les voitures du quartier demain soir"),
    ("terrorism", "حساب ينشر إصدارات داعش ويجند الشباب"),
    (
        "terrorism",
        "compte qui explique comment rejoindre les combattants et envoyer de l'argent au groupe",
    ),
    ("terrorism", "channel sharing bomb instructions in the name of ISIS"),
    ("terrorism", "a video celebrates the attackers and asks young people to join"),
    ("violent_content", "فيديو لشخص ينزف بعد حادثة قطار"),
    ("violent_content", "Une vidéo montre un homme frappé au sol par plusieurs personnes"),
    ("violent_content", "wa7ed l video dyal mdabza b syoufa dayer f tiktok"),
    ("violent_content", "مقطع لرجل مصاب ينزف في الشارع ولا أحد يساعده"),
    ("disinformation", "رسالة على واتساب تقول إن المدارس ستغلق غدا وهو خبر غير مؤكد"),
    ("disinformation", "Une page affirme que boire de l'eau salée guérit le diabète"),
    ("disinformation", "fake letter of the ministry about exam dates going around"),
    ("disinformation", "kaypartajiw bli kayn chi wa7d kaykhtf drari, hadchi kdoub"),
    ("disinformation", "un audio dit que l'eau du robinet est empoisonnée, la régie a démenti"),
    ("age_inappropriate", "ولدي لقا كازينو فاللعبة ديالو"),
    ("age_inappropriate", "Un youtubeur montre aux ados comment vapoter"),
    ("age_inappropriate", "the app for toddlers shows scary ads for adults"),
    (
        "age_inappropriate",
        "Des vidéos de paris en ligne apparaissent dans une chaîne de dessins animés",
    ),
    ("lawful_objectionable", "هذه الفنانة تلبس لباسا غير محتشم يجب حذف حسابها"),
    (
        "lawful_objectionable",
        "Ce chroniqueur critique le gouvernement, faites-le taire",
    ),
    ("lawful_objectionable", "a stand up comedian makes jokes about traditions, please remove"),
    ("lawful_objectionable", "had lpodcast kaynta9ed l7okouma bezaf"),
    ("lawful_objectionable", "had l7al9a dyal l7ob machi mzyana, hadi hchouma f ramadan, 7eydoha"),
    ("scam_fraud", "شريت طابليط من صفحة فالفايس وصيفطو ليا علبة خاوية"),
    ("scam_fraud", "Un faux conseiller en placement m'a pris 10 000 dh puis a disparu"),
    ("scam_fraud", "I paid a deposit for a flat that does not exist"),
    ("scam_fraud", "3tit 3arboun l wahd f avito w mab9ach kayjaweb"),
    ("scam_fraud", "دفعت ثمن حقيبة منذ شهر والبائع لا يجيب"),
    ("phishing_malware", "رسالة نصية من رقم غريب تطلب تحديث بيانات البطاقة عبر رابط"),
    ("phishing_malware", "Un SMS de livraison m'envoie vers un site qui demande ma carte"),
    ("phishing_malware", "the attachment installs an apk that reads messages"),
    ("phishing_malware", "jatni sms mn lbanka fiha lien w tlbo lcode"),
    ("phishing_malware", "رابط يقول إن هاتفي فيه فيروس ويطلب تحميل تطبيق"),
    ("trafficking", "وكالة كتصيفط البنات للخليج وكتاخد ليهم الباسبور"),
    (
        "trafficking",
        "Une annonce recrute des filles comme serveuses à l'étranger, on leur prend les papiers",
    ),
    ("trafficking", "they force domestic workers to stay and do not pay them"),
    ("trafficking", "بنت صغيرة خدامة فدار وما كيخلوهاش تخرج ولا تخلص"),
    ("illegal_goods", "صفحة تبيع حبوب الإجهاض بدون وصفة"),
    ("illegal_goods", "Ce compte Snapchat propose de la résine et de la cocaïne en livraison"),
    ("illegal_goods", "kaybi3o diplomat w bac mzewer f telegram"),
    ("illegal_goods", "seller offers turtles and falcons caught in the wild"),
    ("illegal_goods", "telegram channel advertises pills and cannabis with price list"),
    ("other_illegal", "Des gens organisent des combats de coqs et vendent des billets"),
    ("other_illegal", "ناس كيبنيو فوق واد بلا رخصة وكيصورو راسهم"),
    ("other_illegal", "des chasseurs filment la capture d'oiseaux hors saison"),
    ("out_of_scope", "الزبل مجموع قدام الدار والبلدية ما كدير والو"),
    ("out_of_scope", "Mon opérateur ne répare pas la connexion depuis deux semaines"),
    ("out_of_scope", "How long does a report take?"),
    ("out_of_scope", "chokran bzaf 3la lmosa3ada"),
    ("out_of_scope", "فاتورة الكهرباء مرتفعة جدا والشركة لا ترد"),
    ("not_a_report", "نقدم خدمات تصميم مواقع بأثمنة مناسبة"),
    ("not_a_report", "Obtenez 5000 abonnés réels pour 99 dh"),
    ("not_a_report", "ntoma gha katakhdo flous w makatdirou walou"),
    ("not_a_report", "salut je teste le formulaire"),
    ("phishing_malware", "SMS reçu : votre colis est retenu, réglez 15 dh de frais sous 24h"),
    ("phishing_malware", "My phone sends messages by itself since I opened a file"),
    ("phishing_malware", "صفحة تشبه موقع بنكي تطلب الرمز الذي يصل بالهاتف"),
    ("trafficking", "ils ont pris mon passeport, je ne peux pas sortir et je n'ai pas de salaire"),
    ("trafficking", "واحد كيجمع الدراري باش يسعاو وكيستغلهم"),
    ("trafficking", "Ads sell places on a boat to cross the border"),
    ("not_a_report", "Prêt rapide entre particuliers, écrivez à cette adresse"),
    ("not_a_report", "slm labas 3likom"),
    ("hate_speech", "منشور يصف اللاجئين بأنهم جراد"),
    ("defamation", "He says that I am a thief, it is a lie"),
]


@pytest.mark.parametrize(("category", "text"), TOLD)
def test_what_people_write_suggests_its_category(category: str, text: str) -> None:
    assert SUGGESTER.suggest(text).category == category


def test_every_category_of_the_pack_is_told_of_in_these_tests() -> None:
    assert {c for c, _ in TOLD} == {*PACK.categories, "not_a_report"}


@pytest.mark.parametrize(
    "text",
    ["", " \n", "ⴰⵣⵓⵍ", "0612", "Bonjour, voici le lien.", "شوفو هادي", "\ud800", "hello", "🙂"],
)
def test_where_nothing_speaks_it_is_silent(text: str) -> None:
    got = SUGGESTER.suggest(text)
    assert (got.category, got.because, got.margin, got.second) == (None, (), 0, None)


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("Un documentaire d'une journaliste sur le terrorisme", "terrorism"),
        ("هاد الإدارة غادي تقتلني بالأعصاب", "threats"),
        ("Ce rappeur chante qu'il va tout brûler, une chanson vulgaire", "incitement_violence"),
        ("Un site pour adultes que des enfants ouvrent sans vérifier l'âge", "csam"),
        ("Cette caricature du ministre insulte tout un peuple", "hate_speech"),
    ],
)
def test_what_only_looks_like_it_is_not_suggested(text: str, never: str) -> None:
    assert SUGGESTER.suggest(text).category != never


@pytest.mark.parametrize(
    ("signal", "text"),
    [
        (Signal.MINOR_VICTIM, "خويا الصغير عندو 12 عام"),
        (Signal.MINOR_VICTIM, "j'ai 15 ans"),
        (Signal.EVENT_WITHIN_72H, "Ils veulent attaquer les supporters demain"),
        (Signal.ADDRESS_PUBLISHED, "On a publié mon adresse dans un groupe"),
        (Signal.PUBLIC_OFFICIAL_TARGET, "Une caricature du ministre"),
        (Signal.PRESS, "A journalist is harassed every day"),
    ],
)
def test_a_text_suggests_facts_with_their_words(signal: Signal, text: str) -> None:
    got = SUGGESTER.suggest(text)
    assert got.signals[signal]
    assert signal not in SUGGESTER.suggest(text, signals=[signal]).signals, "it was stated"


def test_an_adult_of_29_is_no_minor() -> None:
    got = SUGGESTER.suggest("J'ai 29 ans, une photo privée de moi circule sans mon accord")
    assert got.category == "intimate_image_abuse"
    assert Signal.MINOR_VICTIM not in got.signals


def test_the_severity_is_the_packs_for_category_and_signals() -> None:
    text = "j'ai 15 ans et on menace de publier mes photos"
    got = SUGGESTER.suggest(text)
    assert (got.category, got.severity) == ("sextortion", Severity.CRITICAL)
    assert SUGGESTER.suggest("Ceci est un test").severity is None
    silent = SUGGESTER.suggest("voici", category="hate_speech")
    assert (silent.category, silent.severity) == (None, Severity.MEDIUM)


def test_the_reporters_choice_adds_points_to_what_the_words_say() -> None:
    text = "Quelqu'un m'a menacé de mort dans un commentaire"
    bare, agreed = SUGGESTER.suggest(text), SUGGESTER.suggest(text, category="threats")
    assert agreed.margin == bare.margin + PACK.lexicon.chosen
    assert agreed.because == bare.because
    assert SUGGESTER.suggest(text, category="hate_speech") == bare


def test_a_choice_stands_alone_only_where_reporters_are_nearly_always_right() -> None:
    trusted = SUGGESTER.suggest("voici", category="csam")
    assert (trusted.category, trusted.because) == ("csam", ("category=csam",)), "and says so"
    assert trusted.severity is Severity.CRITICAL
    for unsure in ("scam_fraud", "hate_speech", "privacy_violation"):
        assert SUGGESTER.suggest("voici", category=unsure).category is None


def test_words_outweigh_a_trusted_choice() -> None:
    text = "Quelqu'un m'a menacé de mort dans un commentaire"
    assert SUGGESTER.suggest(text, category="disinformation").category == "threats"


def test_facts_of_the_report_count() -> None:
    text = "عاونوني عافاكم"
    assert SUGGESTER.suggest(text).category is None
    got = SUGGESTER.suggest(text, risk=["self_harm"])
    assert (got.category, got.because) == ("suicide_selfharm", ("risk=self_harm",))


@pytest.mark.parametrize(
    "text",
    [
        "واحد كيهددني باش ينشر تصاوري وكيبتزني",
        "واحد كيهدّدني باش يــنشر تصاوري وكيبتززززني",
        "Wahed kaybtezzni b tsawri",
        "WAHD KAYBTAZZNI B TSAWERI!!!",
        "Il me fait du CHANTAGE",
        "il me fait du chanTage",
    ],
)
def test_spellings_meet(text: str) -> None:
    assert SUGGESTER.suggest(text).category == "sextortion"


def test_a_reason_names_terms_and_never_the_text() -> None:
    got = SUGGESTER.suggest("Secretname a volé mon compte, faux profil à mon nom")
    assert got.because
    terms = {t.id for t in PACK.lexicon.terms}
    assert {b.partition("@")[0] for b in got.because} <= terms
    said = [SUGGESTER.explain(b, "fr") for b in got.because]
    assert "usurpation (français)" in said
    assert SUGGESTER.explain("risk=self_harm", "fr") == "risk=self_harm"


def test_what_is_known_already_needs_no_words() -> None:
    got = Suggestion.known("csam", "hash bank x")
    assert (got.category, got.because, got.severity, dict(got.signals)) == (
        "csam", ("hash bank x",), None, {},
    )  # fmt: skip


def test_a_pack_without_a_lexicon_suggests_nothing() -> None:
    bare = load_country_pack(PACKS / "ma")
    bare.lexicon = Lexicon()
    assert Suggester(bare).suggest("menace de mort").category is None


def _with(change: str, to: str) -> CountryPack:
    pack = load_country_pack(PACKS / "example")
    text = (PACKS / "example" / "lexicon.toml").read_text(encoding="utf-8")
    assert change in text
    pack.lexicon = Lexicon.model_validate(tomllib.loads(text.replace(change, to)))
    return pack


def test_an_example_that_does_not_hold_is_said_with_its_place() -> None:
    with pytest.raises(LexiconError) as wrong:
        Suggester(_with("weight = 5", "weight = 3"))
    assert wrong.value.problems[0] == (
        "lexicon.toml: categories[scam].examples[0]: expected it to fit, got None; "
        "change a cue or the example"
    )


def test_a_fact_nobody_knows_is_refused() -> None:
    with pytest.raises(LexiconError, match=r"expected one of kind, platform, .* got 'weather'"):
        Suggester(_with("weight = 5", 'facts = ["weather=fine"], weight = 5'))


def test_terms_count_only_near_each_other() -> None:
    far = "I paid. " + "and then it rained " * 10 + "He vanished."
    suggester = Suggester(load_country_pack(PACKS / "example"))
    assert suggester.suggest("I paid. He vanished.").category == "scam"
    assert suggester.suggest(far).category is None


@given(st.text(max_size=300))
def test_any_text_is_read_and_both_halves_have_the_same_words(text: str) -> None:
    hay, skeleton = haystack(text)
    if skeleton < len(hay):
        assert hay[:skeleton].count(" ") == hay[skeleton:].count(" ")
    got = SUGGESTER.suggest(text)
    assert got == SUGGESTER.suggest(text)
    assert (got.category is None) == (got.because == ())


@given(st.sampled_from(TOLD), st.sampled_from(sorted(PACK.categories)))
def test_a_choice_never_loses_what_it_agrees_with(told: tuple[str, str], chosen: str) -> None:
    got = SUGGESTER.suggest(told[1], category=chosen)
    if chosen == told[0]:
        assert got.category == chosen


def test_a_long_text_is_judged_by_its_beginning() -> None:
    assert SUGGESTER.suggest("x " * SCAN_LIMIT + "menace de mort").category is None


def test_needles_stand_in_the_haystack_of_their_own_phrase() -> None:
    for term in PACK.lexicon.terms:
        for register, phrases in term.words.items():
            for phrase in phrases:
                if "{" not in phrase:
                    hay, _ = haystack(phrase.strip("*"))
                    assert any(n in hay for n in needles(phrase, register)), (term.id, phrase)
