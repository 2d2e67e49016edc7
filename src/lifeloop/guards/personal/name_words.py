"""Words that look like names and mostly are none, by what they are. Knows nothing of texts."""


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


AMBIGUOUS = _words(
    """
    ace alba albany alexandria alfa amber america ana angel angelo angola apollo apple april archer art asia aston atlas
    august austin autumn avis baby baker bank banks barbados barcelona basil bea bear beat bent bentley berry best big
    bill bishop black blaze bliss blue bob bond brandy bright brook brooklyn brooks brown bud buddy buena burning cairo
    can candy captain carolina carter case cash chad champion chance charity charlotte chase chastity chelsea cherry
    chester china chip christian clay cleveland cliff clover colt columbia conan constance cooper crystal cuba curry
    cyprus daisy dakota dale dallas darling darwin data dawn dean december dee del dell delta denver destiny diamond
    dick doe dollar don drew duke dusty eagle earl early east eli english era ernest esta eve ever faith fanny february
    felicity fern field fields florence ford forest fox franc frank french friday gabriel gay gel gene general genius
    georgia german ginger glen golden good grace grant gray green grey guy hamilton happy hardy harmony heath hero hill
    hills holland honey hope houston hunter ida indi india innocent ireland iris israel ivy jade january jay jelly
    jersey jet job joke jordan joy judge july june junior justice kay kent kenya king knight la lake lancaster lance
    legend lemon leo les lexus lille lily lima lime lincoln lion little london long love lucky luna lyon mac mad made
    madison madrid mai major mali malta man march mark mars marshall mason max may mayor media melbourne melody men
    mercedes mercy merry milan miles miller mini minister mobile monday moon morgan myrtle nasty nick niger noble noche
    north november ocean october olive orange page pan paris park parker pat patience paw peach pearl penny perth pine
    pink plum pope poppy porsche porter precious president preston pretty price prince princess prudence queen rand
    randy ray real red reed rich river rivers rob rock rocky roll rolls roma roman rose royal royce ruby rush rusty sage
    saint salvador san sandy santa santiago santos saturday savannah sawyer say see senator september serenity sevilla
    sharp sherry short siena silver skip sky skye small smith son south star stock stone storm strong sue sugar summer
    summers sun sunday sunny sweet swift sydney tan tanner taylor tee thursday tiffany time tory toy trailer trinidad
    trinity tripoli troy true trust tuesday tunisia turin una united unusual valencia venus verity verona victoria
    viewers violet virginia vista wade warner wednesday wellington wells welsh west white will wing winter wise wolf
    wood woods york young zac
    """
)
"""Words that are first names too: a last name must follow that is known to be one."""

NO_NAMES = _words(
    """
    a admin africa african again alexa all also amazon america american an and anonymous any apple are as asia asian at
    australian avenue bad bbc be been being best britain british but by calling can chinese city club colleague
    colleagues college committee cortana could council county court cup customer customers dad dame damen december desk
    did do does done dr dutch editor eight england english europe european everybody everyone example facebook february
    fine first five folks for four france frau french friday friend friends from gentlemen german germany getting glad
    god going good google great guest guests guys had happy has have having he help her here herr herren herrn him
    hiring his house how i if in indian ireland irish is it italian italy its january japanese july just kingdom kunde
    kunden ladies lady last league looking lord madam madame manager march me member members microsoft mine miss mlle
    mme monday monsieur more most mr mrs ms mum mx my n/a na new next nine no none not november now null october of
    office okay old on one only open or our parents party please prof professor reader readers really required road
    russian sad sales santa saturday school scotland scottish september service services seven señor señora shall she
    should sir siri sirs six so some sorry spain spanish sr sra states still street student students subscriber sunday
    support sure team ten test thank thanks that the their them then there these they this those three thursday to today
    tomorrow trying tuesday two undefined union united university unknown us user users valued very wales was we
    wednesday well welsh were what when where which who why will with world would writing yes yesterday you your yours
    zusammen
    """
)
"""Words that are never a name, or never the beginning of one."""

ORGANISATIONS = _words(
    """
    academy act afc ag agency air airlines airport airways albion americans arena army associates association athletic
    authority avenue award awards bank banks bay beach bill books boulevard bridge british bros brothers building bureau
    castle cathedral center centre century championship championships chinese church city clinic club co college
    commission committee communications companies company corp corporation council county court cup day department derby
    drive electric energy english entertainment exchange fc federation festival film films force forces forest
    foundation french fund funds game games gardens gas gazette general german gmbh government grand ground group hall
    heights herald hill holdings hospital hotel hotspur house inc index industries institute insurance island islands
    italian journal kingdom lake lane law league library limited lines llc ltd magazine mall masters media minister
    ministry mobile motor motors mountain museum music navy networks news nv office oil open palace park parliament
    partners party pictures place plc police port post power president press prix prize productions province race radio
    rangers records report republic review rfc river road rovers row russian sa school secretary service services show
    side society software sons spanish squad square stadium stakes state states station steel stock street studios
    systems team technologies technology telecom telegraph television terrace theater theatre times tower towers town
    tribune trophy trust tv union united university utd valley villa village wanderers war way week wireless world year
    """
)
"""Words after which what came before is no person: a place, a firm, a club, a contest."""
