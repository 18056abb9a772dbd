# SPDX-License-Identifier: Apache-2.0
"""The words by which a language is known. Those of a ``_WEAK`` list are words of others as well:
they count only beside a sure one. Arabic is written without regard to hamza and vowels, which are
folded away. Tamazight in Latin letters wants a native reader.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DARIJA = _words(
    """
    ديال ديالو ديالي ديالها ديالهم ديالك ديالنا ديالكم غادي غاديا غاديين صيفط صيفطت صيفطو شنو
    اشنو شنوا شناهوا اش بغيت بغا بغات بغاو بغينا بزاف بزف هاد هاداك هادي هادو هادشي هادشى حيت
    علاش فين كيفاش دابا دبا خويا ختي خاي دراري الدراري كروب دارو دار ليا ليه ليها ليهم لينا ليك
    شفت شفنا شافو ماشي راه راها راهم راني راك عندو مابغاش مابغاتش كاين كاينة كاينين مكاينش
    ماكاينش واحد وحدة واحدة هوما هما نتا نتي نتوما حنا احنا ديك داك دوك هداك هديك عافاك عفاك
    عافاكم شحال فلوس الفلوس لفلوس درهم والو ولو باش بلا غير كلشي كولشي شي حاجة حدا مزيان خايب
    تصاور تصاوري تصاورها تصاورو تصويرتي بنتي ولدي ولدو مراتي راجلي جاني جاتني جاوني عيط عيطو
    عيطات كلاوني كلا نصبو سرقو سرقني شكون شكاية ضحك كيضحك مكنعرفش معرفتش مابقاش مابقيتش مابقات
    ماعرفتش معندوش ماعندوش ماعنديش معنديش ديروا ديرو دير درت ندير نديرو يديرو كيدير خاصني خاصو
    خاصهم خاصكم خصني خصو خصهم خصكم بحال بحالو منين تا حتا قاليا قاليه قالت قالو گال گاليا كال
    ليوما اليوما البارح لبارح غدا دغيا هنا هناك هنايا لهيه تم سمية سميتي سميتو سميتها عاونوني
    عاوني عتقوني صافي يالاه ايوا واخا زعما راسي راسو راسها مسكين مسكينة تبلوكا بلوكاني بلوكاوني
    بلوكا حساب لحساب كونط لكونط انستا فايس فايسبوك واتساب الواتساب ميساج ميساجات نمرة النمرة
    نمرتو نمرتي طونوبيل خدام خدامة خدمة كيف كيفما
    """
)
DARIJA_WEAK = _words(
    """
    واحد واحدة دار كلا تم كيف هنا هناك غير حساب فايسبوك واتساب الواتساب درهم خدمة شكاية قالت تا
    غدا حدا بنتي ولدي منين شفت فلوس الفلوس مزيان خايب انستا بلا علاش مسكين مسكينة ضحك عيط هما
    فين سميتها قالو راسي راسها خدام
    """
)
STANDARD = _words(
    """
    التي الذي الذين اللواتي هذا هذه هؤلاء ذلك تلك لقد قد سوف ان لم لن ليس ليست لست كانت يكون
    تكون حيث لكن لكي كما عندما بعدما اثناء خلال يتم تم ايضا كذلك بسبب الى نحو لدى لدي هناك ثم او
    اذا لانه لانها لان انه انها انني ارجو اريد نريد يرجى شكرا تحية المرجو قام قامت يقوم تقوم حول
    ضد دون عبر منذ بعض جميع كل اي فقط جدا سيدي السادة اود ابلغ اطلب نطلب الرجاء تحديدا وقد فقد
    هل ماذا متى اين كيف لماذا منها فيها عنها بها عليها اليها
    """
)
ARABIZI = _words(
    """
    salam slm salamo salamou wahd wa7d wa7ed wahed dyali dyal dyalo dyalha dyalhom dyalk diali
    dial dialo dialha dialhom diyal dyawli bgha bghit bghat bghaw bghina bagha ghadi ghadia kayn
    kayna kaynin kain makaynch kifach kifash kifa kif chno chnou chnu achno shno shnou ach
    chkoun chkon shkoun 3afak 3afakom afak khona khoya khouya khti bzaf bzzaf bezaf bezzaf daba
    dba hadchi hadshi hada hadi hadak hadik hado hadou had dak dik nmra nemra nmrti namra jani
    jatni jawni mn yji lcolis lien rah raha rahom rani machi mashi fin fih fiha liya lia lih
    liha lihom lik lina 3la 3lia 3liya 3lih 3liha 3lihom 3lik 3nd 3ndi 3ndo 3ndou 3ndha 3ndhom
    7it 7itach 7ta 7na hna hnaya ana nta nti ntoma homa howa hiya walo walou wallo chi chwiya
    chwia ghir ghi bach bash bhal b7al ila ola wla wela walakin walakine wakha wakhkha safi
    zwina zwin khayb mezyan mzyan mzian flous flouss lflous lfloss flos lflus drari ddrari
    lwalida lwalid weldi wldi bnti mrati rajli sa7bi sahbi sa7bti shabi s7abi tsawer tsawr
    tsawri tswira tswiri taswira hssab 7sab compta lcompte lconte kont lkont ta7ed walkin 3lach
    3lash 3lax 3lah alach lach fach fash kan kant kano kanou gal galiya galia galih galo galou
    galt gallik galek qal qalia goliya gol mabgash mabghach mabghatch mabghitch mab9ach mab9atch
    kolchi koulchi klchi lyoum lyouma lyoma lbar7 lbareh lbare7 ghda ghdda dghya daghya 9bel
    9dim wahda wa7da nas lnas bnat chaf chaft choft cheft chftha shaf shft khass khas khassni
    khasni khassna khssni khasso khassha dar darou daro dart derti dir diro dirou ndir ndiro
    ydir ydiro tdir m3a m3aya m3ah b3d ba3d men fhad fhadi bhad f b l w o d ktar kter kbir kbira
    sghir sghira bla taman tta tal sift sifti siftt sifet sifto siftou sayfet sayft khlas
    khalsso nsab nasab nssab chffar chafar sr9 sre9 sra9 hachak alah allah lah inchallah wlah
    wellah wllah llah y3awen t3awnoni 3awnouni 3awnoni 3awnni 3tini 3tatni 3tani 3titha fhm
    mafhamtch ma3reftch ma3rftch ma3rafch 3reft 3raft 3rftch tla3 dkhel dkhal kherj khrej sm3
    hdr dyalna dyalkom mghrib lmghrib maghrib lmaghrib derbo drebni hadro jat ja jaw mcha mchat
    mchaw wld bent lbent ldrari lwld
    """
)
ARABIZI_WEAK = _words(
    """
    hada fin mn rah had ila ana ja jat men l b w o d f chi dak bla kan ta lien dir dar nas lach
    gal gol hna dik tal kif ach alah allah lah taman lcolis salam bent nti nta
    """
)
NOT_ARABIZI = _words(
    """
    kansas kanada kanji tandis tantot tantôt tante tangible tanya katherine kitchen kind kindly
    kingdom kissed kinetic kids march match macintosh manch mach marsh mash kaydee tant tango
    tank tanks kings king kitten kitsch kidnap kidnapping kidnapped
    """
)
AMAZIGH = _words(
    """
    azul azoul tanmmirt tanemmirt tanmirt amazigh tamazight tamazirt imazighn imazighen righ
    ssaramegh ssarameγ nkki nkkin nekk nekkin kyyi kemmi ntta nttat nettat ntteni nkkni illa
    tella llan ur our urd war wad wann tann yan yat yiwen yiwet iggut iggutn bahra ghass ghas
    gigh gis digs dis gid zegh zg zeg seg sg ghef gh ghi ghid ghin mamk mamek matta mayd mad may
    manza mani mag magh maxx maɣ awal awalinu tiwisi tawiza afus afous aman tafukt ass assa
    assad imik kra kran wiyyad tiyyad wi inna innan yini inigh nnigh ufigh yufa tufa ad ar is
    izd hat hatin d n i s t mi ma wa ta ayt ait ayyis argaz tamghart afrux tafruxt afrukh
    tafrukht ahchmi tahchmit iwi illi memmi gma ultma uletma baba immi tawlaft tiwlafin tuwurgit
    agharas tizi tigmmi taddart ghikad ghikann ghayan ghayad ayad ayann wada nna lli nni issen
    issn ssnegh bdigh ddigh idda tdda yudda itteftaren tudert asafar tugdut ugadegh ksudgh
    ksoudegh
    """
)
AMAZIGH_WEAK = _words(
    """
    ar is ma mi s t i d n wa ta ad our war mad may mani hat kra ass illi baba gh wi seg sg zg
    man iwi dis ghi gid magh aman ait nna
    """
)
FRENCH = _words(
    """
    le la les un une des du je tu il elle nous vous ils elles et est sur avec pour dans ce cette
    ces qui que quoi dont mon ma mes son sa ses notre votre leur leurs pas plus au aux de en ne
    bonjour merci bonsoir svp où être été suis sont était avait ont avons avez ai mais ou donc
    car si comme très tout tous toute toutes depuis chez par sans sous entre vers après avant
    pendant quand moi toi lui eux ça cela ceci même aussi encore toujours jamais rien personne
    quelqu quelque chaque faut fait faire peut peux veux voudrais veut signaler signale compte
    faux site lien argent photo photos fille fils enfant enfants jour jours ans demande message
    messages page publie publié aide aidez urgent contre propos publication vidéo vidéos profil
    cet se me te y lequel laquelle plainte arnaque menace menaces harcèlement insultes escroc
    numéro carte téléphone personnes
    """
)
ENGLISH = _words(
    """
    the a an is are was were be been being am my me i he she they them his her their its it we
    our us you your of to and in on at this that these those with for from please has have had
    do does did not no but or so if as by about every who what which when where why how all any
    some someone somebody because will would can could should there here into out up down over
    under after before again still just very only also than then now account fake people posted
    posting sent asking money report remove help link post page group child children him
    himself herself myself since yesterday today days weeks hello thanks regards scam
    threats against best price buy fast grow followers
    """
)
SPANISH = _words(
    """
    el los las una unos que por para con está esta este como pero muy mi su sus yo ha han del al
    es y hola gracias cuenta ayuda
    """
)
