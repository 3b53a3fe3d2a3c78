"""The words of captions as tables: what a listener calls each mood, tempo, meter, key, colour and part of a form.

Synonyms were gathered by hand and from WordNet 3.0's adjective clusters, then cut down to what people say of music.
The first entry of each row is the plain word.
"""

MOOD_WORDS: dict[str, tuple[str, ...]] = {
    "sad": (
        "sad",
        "sorrowful",
        "mournful",
        "tearful",
        "heartbroken",
        "unhappy",
        "gloomy",
        "doleful",
        "depressing",
        "crying",
    ),
    "melancholic": ("melancholic", "melancholy", "bittersweet", "downcast"),
    "somber": ("somber", "sombre", "grave", "solemn", "heavyhearted", "bleak"),
    "wistful": ("wistful", "longing", "yearning", "lonely", "reflective"),
    "calm": ("calm", "serene", "tranquil", "relaxing", "quiet", "soothing"),
    "peaceful": ("peaceful", "restful", "serene", "tranquil", "idyllic"),
    "gentle": ("gentle", "soft", "mild", "delicate", "light"),
    "warm": ("warm", "comforting", "cozy", "heartwarming"),
    "moody": ("moody", "brooding", "dark", "shadowy"),
    "mysterious": ("mysterious", "enigmatic", "eerie", "spooky", "secretive"),
    "serious": ("serious", "solemn", "earnest", "sober"),
    "pensive": ("pensive", "reflective", "thoughtful", "contemplative", "brooding", "introspective"),
    "hopeful": ("hopeful", "optimistic", "encouraging", "inspiring"),
    "pleasant": ("pleasant", "enjoyable", "easygoing", "lovely", "feel-good"),
    "bright": ("bright", "sunny", "radiant", "sparkling"),
    "sweet": ("sweet", "lovely", "charming", "tender"),
    "dark": ("dark", "ominous", "menacing", "gloomy", "sinister", "scary", "evil"),
    "tense": ("tense", "suspenseful", "nervous", "edgy", "anxious", "nail-biting"),
    "brooding": ("brooding", "moody", "shadowy", "sombre"),
    "positive": ("positive", "feel-good", "optimistic", "good-time"),
    "dramatic": ("dramatic", "intense", "theatrical", "stormy"),
    "urgent": ("urgent", "pressing", "restless", "agitated"),
    "happy": ("happy", "glad", "merry", "cheery", "good-humoured", "fun"),
    "joyful": ("joyful", "joyous", "jubilant", "blissful", "delighted"),
    "upbeat": ("upbeat", "buoyant", "peppy", "positive", "feel-good"),
    "cheerful": ("cheerful", "cheery", "lighthearted", "perky", "jaunty", "sunny"),
    "tender": ("tender", "sentimental", "loving", "soft"),
    "romantic": ("romantic", "amorous", "loving", "heartfelt"),
    "emotional": ("emotional", "moving", "touching", "heartfelt", "poignant"),
    "elegant": ("elegant", "refined", "tasteful", "exquisite"),
    "graceful": ("graceful", "flowing", "fluid", "elegant"),
    "refined": ("refined", "polished", "elegant", "cultured"),
    "ornate": ("ornate", "intricate", "ornamented", "elaborate"),
    "stately": ("stately", "dignified", "noble", "majestic"),
    "epic": ("epic", "heroic", "larger-than-life", "grand", "majestic"),
    "cinematic": ("cinematic", "sweeping", "filmic", "widescreen"),
    "dancing": ("dancing", "swirling", "whirling", "swaying"),
    "charming": ("charming", "delightful", "enchanting", "quaint"),
    "smooth": ("smooth", "silky", "velvety", "easygoing"),
    "cool": ("cool", "laid-back", "hip", "suave"),
    "sophisticated": ("sophisticated", "classy", "stylish", "urbane"),
    "breezy": ("breezy", "airy", "light", "easygoing"),
    "relaxed": ("relaxed", "easygoing", "laid-back", "mellow", "chilled"),
    "sunny": ("sunny", "summery", "bright", "beachy"),
    "festive": ("festive", "celebratory", "partying", "merry"),
    "passionate": ("passionate", "fiery", "ardent", "fervent"),
    "rhythmic": ("rhythmic", "percussive", "groovy"),
    "soulful": ("soulful", "heartfelt", "deep", "expressive"),
    "gritty": ("gritty", "raw", "rough", "earthy"),
    "laid-back": ("laid-back", "easygoing", "relaxed", "lazy"),
    "energetic": ("energetic", "lively", "high-energy", "vigorous", "dynamic", "hype", "pumping"),
    "driving": ("driving", "propulsive", "pounding", "relentless"),
    "powerful": ("powerful", "strong", "forceful", "mighty", "badass"),
    "aggressive": ("aggressive", "fierce", "hostile", "angry", "furious"),
    "heavy": ("heavy", "crushing", "thunderous", "brutal"),
    "intense": ("intense", "ferocious", "extreme", "violent"),
    "groovy": ("groovy", "funky", "grooving", "infectious"),
    "funky": ("funky", "groovy", "strutting"),
    "playful": ("playful", "mischievous", "frolicking", "whimsical", "cheeky"),
    "danceable": ("danceable", "dancey", "party-ready", "club-ready"),
    "glamorous": ("glamorous", "glittering", "glossy", "dazzling"),
    "chill": ("chill", "chilled-out", "relaxing", "laid-back", "easy", "chilled", "vibey"),
    "mellow": ("mellow", "soft", "smooth", "warm"),
    "nostalgic": ("nostalgic", "wistful", "bittersweet", "sentimental"),
    "confident": ("confident", "swaggering", "bold", "cocky"),
    "urban": ("urban", "street", "city"),
    "uplifting": ("uplifting", "inspiring", "elevating", "rousing"),
    "hypnotic": ("hypnotic", "mesmerizing", "trance-like", "repetitive"),
    "euphoric": ("euphoric", "ecstatic", "exhilarating", "blissful"),
    "retro": ("retro", "vintage", "old-school", "throwback"),
    "neon": ("neon", "neon-lit", "nocturnal", "futuristic"),
    "dreamy": ("dreamy", "dreamlike", "hazy", "floating"),
    "ethereal": ("ethereal", "otherworldly", "airy", "heavenly", "celestial"),
    "meditative": ("meditative", "contemplative", "spiritual", "zen"),
    "rustic": ("rustic", "homespun", "rural", "earthy"),
    "intimate": ("intimate", "close", "personal", "quiet"),
    "lively": ("lively", "spirited", "bouncy", "animated", "vivacious"),
    "triumphant": ("triumphant", "victorious", "exultant", "glorious"),
    "proud": ("proud", "noble", "heroic"),
    "ceremonial": ("ceremonial", "formal", "stately", "pompous"),
    "innocent": ("innocent", "childlike", "naive", "cute"),
}

PACES: tuple[tuple[float, str, tuple[str, ...], tuple[str, ...]], ...] = (
    # below this pace in beats a minute: the verdict, adjectives before a noun, and phrases for lists of keywords
    (
        66.0,
        "very slow",
        ("very slow", "slow", "extremely slow", "super slow", "slow-moving"),
        ("very slow tempo", "very slow", "largo", "adagio", "slow tempo", "slow pace", "lento"),
    ),
    (
        86.0,
        "slow",
        ("slow", "leisurely", "unhurried", "downtempo", "slow-paced"),
        ("slow tempo", "slow", "adagio", "downtempo", "slow pace", "leisurely pace", "not too fast"),
    ),
    (
        112.0,
        "moderate",
        ("mid-tempo", "medium-tempo", "moderate", "midtempo", "medium-paced"),
        ("medium tempo", "moderate tempo", "mid-tempo", "moderato", "walking pace", "andante", "mid tempo"),
    ),
    (
        138.0,
        "fast",
        ("fast", "brisk", "quick", "up-tempo", "uptempo"),
        ("fast tempo", "fast", "allegro", "brisk tempo", "up-tempo", "uptempo", "quick pace"),
    ),
    (
        1e9,
        "very fast",
        ("very fast", "rapid", "fast", "speedy", "breakneck", "high-speed"),
        ("very fast tempo", "very fast", "presto", "rapid tempo", "fast", "vivace", "high tempo"),
    ),
)

METERS: dict[str, tuple[str, ...]] = {
    "3/4": ("3/4", "3/4 time", "triple time", "three-four time", "waltz time", "three-quarter time", "3/4 meter"),
    "6/8": ("6/8", "6/8 time", "six-eight", "six-eight time", "6/8 meter", "compound time"),
    "4/4": ("4/4", "4/4 time", "common time", "four-four time", "4/4 meter"),
    "5/4": ("5/4", "5/4 time", "five-four time", "odd meter 5/4", "an odd meter", "five beats to the bar"),
}

TRAITS: dict[str, tuple[str, ...]] = {
    "walking bass": ("a walking bass", "a walking bass line", "walking bass"),
    "four-on-the-floor": ("a four-on-the-floor kick", "a four on the floor beat", "a steady four-to-the-floor kick"),
}
TRAIT_ROLES = {"walking bass": "bass", "four-on-the-floor": "drums"}
COLOURS: dict[str, tuple[str, ...]] = {
    "vinyl": ("vinyl crackle", "the crackle of an old record", "a dusty vinyl sound"),
    "tape": ("tape warmth", "a worn tape sound", "tape wobble"),
    "hall": ("hall reverb", "lots of reverb", "a big hall sound"),
    "dry": ("a dry sound", "no reverb"),
    "echo": ("echo", "a delay effect", "echoes"),
    "muffled": ("a muffled sound", "rolled-off treble"),
    "surf": ("ocean waves", "the sound of the sea", "waves in the background"),
    "sidechain": ("pumping sidechain", "a pumping mix"),
}
PLACES: dict[str, tuple[str, ...]] = {
    "beginning": ("the opening of the piece", "the beginning of the piece", "how the piece starts"),
    "intro": ("the intro", "the introduction"),
    "ending": ("the ending of the piece", "how the piece comes to its end", "the close of the piece"),
    "outro": ("the outro",),
    "verse": ("the verse", "a verse"),
    "chorus": ("the chorus", "the hook"),
    "bridge": ("the bridge", "the middle eight"),
    "solo": ("the solo part",),
    "breakdown": ("the breakdown", "the stripped-down part"),
    "build-up": ("the build-up", "the rise before the drop"),
    "drop": ("the drop",),
    "theme": ("the main theme",),
}

_SHARPS_AND_FLATS = {
    "C#": ("C# {}", "C sharp {}", "C-sharp {}"),
    "Db": ("Db {}", "D flat {}", "D-flat {}"),
    "Eb": ("Eb {}", "E flat {}", "E-flat {}"),
    "D#": ("D# {}", "D sharp {}"),
    "F#": ("F# {}", "F sharp {}", "F-sharp {}"),
    "Gb": ("Gb {}", "G flat {}"),
    "Ab": ("Ab {}", "A flat {}", "A-flat {}"),
    "G#": ("G# {}", "G sharp {}"),
    "Bb": ("Bb {}", "B flat {}", "B-flat {}"),
}
_BLACK = {
    # how a tonic on a black key is written: in major, in minor; usual ones first
    "C#": (("Db", "C#"), ("C#",)),
    "Eb": (("Eb",), ("Eb", "D#")),
    "F#": (("F#", "Gb"), ("F#",)),
    "Ab": (("Ab",), ("G#", "Ab")),
    "Bb": (("Bb",), ("Bb",)),
}
_GERMAN = {
    "C": ("C", "c"), "C#": ("Des", "cis"), "D": ("D", "d"), "Eb": ("Es", "es"), "E": ("E", "e"), "F": ("F", "f"),
    "F#": ("Fis", "fis"), "G": ("G", "g"), "Ab": ("As", "gis"), "A": ("A", "a"), "Bb": ("B", "b"), "B": ("H", "h"),
}  # fmt: skip


def key_names(key: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """How a key is written: in words ("C sharp minor"), short ("C#m", "C# min"), and in German ("cis-Moll").

    Args:
        key: tonic and mode as `theory.Key.name` has them.
    """
    tonic, mode = key.split()
    spelled = _BLACK.get(tonic, ((tonic,), (tonic,)))[mode == "minor"]
    words = tuple(form.format(mode) for name in spelled for form in _SHARPS_AND_FLATS.get(name, (f"{name} {{}}",)))
    short = tuple(f"{name}{end}" for name in spelled for end in {"major": ("maj", " maj"), "minor": ("m", "min")}[mode])
    german = _GERMAN[tonic][mode == "minor"] if tonic in _GERMAN else tonic
    return words, short, (f"{german}-{'Moll' if mode == 'minor' else 'Dur'}",)
