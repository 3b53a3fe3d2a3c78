"""What people call each genre, when it was, and what they use it for.

Everything said here is true of the genre as a whole, as far as listeners' speech goes. Names that speak of an
instrument or a meter are said only where it is heard (`ONLY_WITH`).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class GenreWords:
    """`tags` stand alone or before a noun; `pieces` take an article; `musics` take none; `uses` and `scenes` follow
    "for", the scenes also "in"; `eras` stand before a noun."""

    tags: tuple[str, ...]
    pieces: tuple[str, ...]
    musics: tuple[str, ...]
    uses: tuple[str, ...] = ()
    eras: tuple[str, ...] = ()


GENRE_WORDS: dict[str, GenreWords] = {
    "piano ballad": GenreWords(
        ("piano ballad", "ballad", "love ballad", "pop ballad"),
        ("piano ballad", "ballad", "love song", "pop ballad", "torch song", "slow dance"),
        ("piano ballad music", "ballad music", "love song music"),
        ("a wedding", "a love scene", "the end of a romantic film", "a first dance", "a proposal", "a wedding video"),
    ),
    "classical": GenreWords(
        ("classical", "classical music", "chamber music", "Mozart-like"),
        ("classical piece", "classical composition", "chamber piece", "sonata movement", "minuet-like piece"),
        ("classical music", "chamber music"),
        ("a concert hall", "an elegant dinner", "a museum", "a period drama", "a string of portraits", "fine dining"),
        ("18th century", "eighteenth-century"),
    ),
    "baroque": GenreWords(
        ("baroque", "baroque music", "counterpoint", "Bach-like", "early music"),
        ("baroque piece", "baroque invention", "Bach-like piece", "baroque suite movement", "two-part invention"),
        ("baroque music", "baroque counterpoint", "music in the style of Bach", "fugue-like baroque music"),
        ("a royal court", "a church concert", "a palace", "powdered wigs and candlelight", "an old castle tour"),
        ("17th century", "18th century", "early 18th century"),
    ),
    "orchestral": GenreWords(
        ("orchestral", "cinematic", "film score", "soundtrack", "symphonic", "trailer music", "orchestra"),
        ("orchestral piece", "film score", "movie soundtrack", "orchestral cue", "cinematic score", "symphonic cue"),
        ("orchestral music", "cinematic music", "film music", "trailer music", "symphonic music", "soundtrack music"),
        (
            "a movie scene",
            "a film trailer",
            "a fantasy game",
            "a battle",
            "a boss fight",
            "a journey across the mountains",
            "a hero's return",
            "opening credits",
            "a nature documentary",
        ),
    ),
    "waltz": GenreWords(
        ("waltz", "Viennese waltz", "ballroom"),
        ("waltz", "ballroom waltz", "Viennese waltz", "waltz tune", "dance in three"),
        ("waltz music", "ballroom music"),
        ("a ballroom", "a carousel", "a couple turning on the floor", "a ball in Vienna", "a dance lesson"),
        ("19th century", "nineteenth-century"),
    ),
    "jazz": GenreWords(
        ("jazz", "swing", "bebop", "swing jazz", "jazz standard", "club jazz", "jazzy"),
        ("jazz tune", "jazz standard", "swing tune", "jazz number", "bebop head", "jazz piece", "jazz combo piece"),
        ("jazz", "swing jazz", "jazz music", "club jazz", "small-combo jazz"),
        (
            "a smoky club",
            "a late-night bar",
            "a cocktail hour",
            "a cafe",
            "a coffee shop",
            "a wine bar",
            "a dinner party",
            "a film noir",
            "sunday brunch",
        ),
        ("1940s", "1950s", "fifties", "forties", "50s", "golden age"),
    ),
    "bossa nova": GenreWords(
        ("bossa nova", "bossa", "Brazilian jazz", "bossa jazz"),
        ("bossa nova", "bossa nova tune", "bossa tune", "Brazilian jazz tune", "bossa number"),
        ("bossa nova", "bossa", "Brazilian jazz", "bossa nova music", "music from Rio"),
        (
            "a beach cafe",
            "an elevator",
            "a summer evening",
            "a hotel lobby",
            "a poolside bar",
            "a Rio sunset",
            "sunday brunch",
        ),
        ("1960s", "sixties", "60s"),
    ),
    "latin": GenreWords(
        ("latin", "salsa", "Cuban", "latin dance", "afro-cuban", "mambo"),
        ("latin tune", "latin groove", "salsa tune", "Cuban tune", "salsa number", "latin dance track"),
        ("latin music", "salsa", "latin dance music", "Cuban music", "tropical music"),
        ("a street party", "a summer fiesta", "a carnival", "a salsa class", "a night in Havana", "a cooking video"),
    ),
    "blues": GenreWords(
        ("blues", "twelve-bar blues", "12 bar blues", "bluesy", "delta blues"),
        ("blues", "blues tune", "twelve-bar blues", "blues shuffle", "blues number", "blues jam"),
        ("blues", "blues music", "bar-room blues", "delta-style blues"),
        ("a dim bar", "a long road at night", "a juke joint", "a whiskey ad", "a bar at closing time"),
    ),
    "rock": GenreWords(
        ("rock", "guitar rock", "hard rock", "indie rock", "alternative rock", "classic rock"),
        ("rock song", "rock track", "rock anthem", "rock instrumental", "rock tune", "rock number"),
        ("rock", "rock music", "guitar rock", "rock and roll"),
        (
            "a road trip",
            "a stadium",
            "a garage band",
            "a workout",
            "a car commercial",
            "a sports montage",
            "a bike race",
        ),
    ),
    "metal": GenreWords(
        ("metal", "heavy metal", "thrash metal", "metal riff", "thrash"),
        ("metal track", "metal song", "heavy metal track", "metal riff", "metal instrumental"),
        ("metal", "heavy metal", "thrash metal", "metal music"),
        ("a mosh pit", "a boss fight", "headbanging", "a workout", "a demon-slaying game", "a fight scene"),
        ("80s", "eighties", "1980s"),
    ),
    "funk": GenreWords(
        ("funk", "funk groove", "seventies funk", "70s funk"),
        ("funk groove", "funk track", "funk jam", "funk tune", "funk workout"),
        ("funk", "funk music", "seventies funk"),
        ("a seventies cop show", "a block party", "a car chase", "a dance floor", "a heist montage", "a cooking show"),
        ("70s", "seventies", "1970s"),
    ),
    "disco": GenreWords(
        ("disco", "disco music", "70s disco", "nu disco"),
        ("disco track", "disco groove", "disco tune", "disco number", "dance-floor filler"),
        ("disco", "disco music", "seventies disco", "dance-floor disco"),
        ("a roller rink", "a mirror-ball night", "a party", "a dance floor", "a seventies party", "roller skating"),
        ("70s", "seventies", "1970s", "late 70s"),
    ),
    "lo-fi hip hop": GenreWords(
        ("lo-fi", "lofi", "lo-fi hip hop", "chillhop", "lofi hip hop", "lofi beats", "lo fi", "study beats"),
        ("lo-fi beat", "lofi hip hop beat", "lofi study beat", "chillhop beat", "lo-fi track", "lofi loop"),
        ("lo-fi hip hop", "lofi", "chillhop", "study beats", "lo-fi beats", "lofi music"),
        (
            "studying",
            "study",
            "homework",
            "a rainy evening",
            "relaxing",
            "coding late at night",
            "coding",
            "a study session",
            "a vlog",
            "a stream waiting screen",
            "reading",
        ),
    ),
    "hip hop": GenreWords(
        ("hip hop", "hip-hop", "rap", "rap beat", "boom bap", "trap", "hiphop"),
        ("hip hop beat", "rap beat", "hip-hop instrumental", "trap beat", "boom bap beat", "rap instrumental"),
        ("hip hop", "hip-hop music", "boom bap", "rap music"),
        ("a freestyle", "rapping over", "a city street at night", "a sneaker ad", "a rap battle", "a skate video"),
        ("90s", "nineties"),
    ),
    "house": GenreWords(
        ("house", "house music", "deep house", "EDM", "dance", "club", "electronic dance music"),
        ("house track", "dance track", "club track", "house groove", "deep house track", "EDM track"),
        ("house", "house music", "deep house", "electronic dance music", "EDM", "club music"),
        ("a club", "a beach party", "a fashion show", "the dance floor", "a rooftop bar", "a runway", "a pool party"),
        ("90s", "Chicago"),
    ),
    "techno": GenreWords(
        ("techno", "warehouse techno", "rave", "minimal techno", "Berlin techno", "EDM"),
        ("techno track", "techno loop", "warehouse techno track", "rave track", "club track"),
        ("techno", "rave music", "techno music", "electronic club music", "Detroit techno"),
        ("a warehouse rave", "a dark club", "the early hours", "the dance floor", "a rave", "a Berlin basement"),
        ("90s",),
    ),
    "trance": GenreWords(
        ("trance", "uplifting trance", "EDM", "trance anthem", "psytrance-like"),
        ("trance track", "trance anthem", "trance tune", "EDM anthem"),
        ("trance", "trance music", "EDM", "electronic dance music", "rave trance"),
        ("a festival", "a sunrise set", "the dance floor", "a festival main stage", "a spinning class"),
        ("late 90s", "90s"),
    ),
    "synthwave": GenreWords(
        ("synthwave", "retrowave", "80s synth", "outrun", "80s", "synth pop", "vaporwave-ish"),
        ("synthwave track", "retro synth track", "outrun track", "synth pop instrumental", "retrowave tune"),
        ("synthwave", "retrowave", "eighties synth music", "80s synth music", "synth pop"),
        ("a night drive", "an eighties film", "an arcade", "a neon city", "driving at night", "a racing game"),
        ("80s", "eighties", "1980s", "1984"),
    ),
    "ambient": GenreWords(
        ("ambient", "soundscape", "drone", "new age", "atmospheric", "ambience"),
        ("ambient piece", "soundscape", "ambient soundscape", "ambient track", "drone piece", "sound bath"),
        ("ambient music", "ambient", "drone music", "atmospheric music", "new age music", "background ambience"),
        (
            "sleep",
            "sleeping",
            "meditation",
            "yoga",
            "drifting through space",
            "a planetarium",
            "a spa",
            "massage",
            "breathing exercises",
            "deep focus",
        ),
    ),
    "country": GenreWords(
        ("country", "bluegrass", "americana", "country music", "hoedown", "honky tonk", "western"),
        ("country song", "country tune", "hoedown", "country number", "bluegrass tune", "country instrumental"),
        ("country music", "bluegrass", "americana", "Nashville-style country", "country"),
        ("a barn dance", "a road trip", "a front porch", "a rodeo", "a pickup truck ad", "a western", "a county fair"),
    ),
    "folk": GenreWords(
        ("folk", "acoustic folk", "folk song", "indie folk", "singer-songwriter", "campfire"),
        ("folk song", "folk tune", "campfire tune", "folk ballad", "folk instrumental", "singer-songwriter tune"),
        ("folk", "folk music", "acoustic folk", "indie folk", "singer-songwriter music"),
        ("a campfire", "a walk in the woods", "a quiet morning", "a travel film", "hiking", "a farmers market"),
    ),
    "reggae": GenreWords(
        ("reggae", "roots reggae", "dub", "Jamaican", "ska", "reggae groove"),
        ("reggae tune", "reggae groove", "reggae song", "roots reggae tune", "reggae track"),
        ("reggae", "roots reggae", "reggae music", "dub reggae", "Jamaican music", "island music"),
        ("the beach", "a summer afternoon", "an island holiday", "a beach bar", "a hammock", "a barbecue"),
        ("70s", "seventies"),
    ),
    "celtic": GenreWords(
        ("celtic", "Irish", "Irish folk", "Scottish", "Irish traditional", "jig", "reel"),
        ("celtic tune", "Irish folk tune", "Irish jig", "Irish reel", "Irish tune", "Scottish folk tune"),
        ("celtic music", "Irish music", "traditional Irish music", "celtic folk", "Scottish folk music"),
        ("a pub session", "a village dance", "green hills", "a fantasy tavern", "an Irish pub", "a tavern in a game"),
    ),
    "march": GenreWords(
        ("march", "marching band", "military march", "parade", "brass band"),
        ("march", "military march", "parade march", "marching band tune", "brass band march"),
        ("marching band music", "parade music", "military music", "march music"),
        ("a parade", "a ceremony", "soldiers on the move", "a football halftime show", "a flag raising"),
    ),
    "children's music": GenreWords(
        ("children's music", "kids", "kids music", "nursery rhyme", "children", "toy"),
        ("children's song", "nursery tune", "nursery rhyme", "toy-box tune", "kids' song", "lullaby-like tune"),
        ("children's music", "kids' music", "music for kids", "nursery music"),
        ("a nursery", "a cartoon", "a children's show", "playtime", "a puppet show", "toddlers", "a kindergarten"),
    ),
}

ONLY_WITH: tuple[tuple[str, str, str], ...] = (
    # a part of a name: the word that an instrument heard must have in it, or the meter it stands for
    ("piano", "instrument", "piano"),
    ("guitar", "instrument", "guitar"),
    ("brass", "instrument", "brass trumpet trombone tuba horn"),
    ("marching band", "instrument", "brass trumpet trombone tuba horn drums"),
    ("jig", "meter", "6/8"),
    ("reel", "meter", "4/4"),
    ("waltz", "meter", "3/4"),
    ("in three", "meter", "3/4"),
    ("minuet", "meter", "3/4"),
    ("slow", "pace", "86"),
    ("orchestra", "genre", "orchestral"),
)
"""When a name that says more than the genre may be used."""

MOOD_USES: dict[str, tuple[str, ...]] = {
    "sad": ("a sad scene", "a breakup", "a funeral scene", "crying", "a rainy day"),
    "melancholic": ("a rainy window", "a lonely evening", "a goodbye"),
    "calm": ("relaxing", "winding down", "a quiet evening", "unwinding"),
    "peaceful": ("a quiet morning", "relaxation", "a garden"),
    "happy": ("a birthday party", "a happy ending", "a family video"),
    "cheerful": ("a birthday party", "a family video", "a morning show"),
    "hopeful": ("a new beginning", "a charity film", "a graduation video"),
    "tense": ("a thriller", "a stakeout", "a horror game", "a chase scene"),
    "mysterious": ("a detective story", "a mystery podcast", "a hidden temple"),
    "dramatic": ("a dramatic reveal", "a courtroom scene"),
    "energetic": ("a workout", "running", "a sports video"),
    "powerful": ("a workout", "a fight scene"),
    "driving": ("a chase scene", "running"),
    "romantic": ("a candlelit dinner", "a date night", "a love scene"),
    "epic": ("an epic trailer", "a final battle"),
    "meditative": ("meditation", "yoga"),
    "chill": ("chilling", "a lazy sunday"),
    "nostalgic": ("old photographs", "a memory montage"),
}
"""What moods are used for, whatever the genre."""
