"""Chord progressions by tradition, as Roman numerals: one bar per word, two chords in a bar joined by "_"."""

POP_MAJOR = ("I V vi IV", "I vi IV V", "I IV vi V", "I IV ii V", "I iii IV V", "I IV I V")
POP_MINOR = ("i bVI bIII bVII", "i bVII bVI V", "i iv bVI V", "i bVI iv V", "i bIII bVII iv", "i iv i V")
CLASSIC_MAJOR = ("I V I V", "I IV V I", "I vi ii V", "I IV ii_V I", "I V7/V V I", "I vi IV_V I", "I ii V7 I")
CLASSIC_MINOR = ("i iv V i", "i V i V", "i bVI iv V", "i iv bVII bIII", "i bVI iidim_V7 i", "i bVII bVI V")
JAZZ_MAJOR = (
    "ii7 V7 Imaj7 Imaj7",
    "Imaj7 vi7 ii7 V7",
    "Imaj7 VI7 ii7 V7",
    "iii7 VI7 ii7 V7",
    "Imaj7 IVmaj7 iii7_vi7 ii7_V7",
)
JAZZ_MINOR = ("iim7b5 V7 i7 i7", "i7 iv7 iim7b5 V7", "i7 bVImaj7 iim7b5 V7", "i7 i7 iv7 V7", "im6 bVI7 V7 im6")
BLUES = ("I7 IV7 I7 I7", "IV7 IV7 I7 I7", "V7 IV7 I7 V7", "I7 I7 IV7 I7_V7")
BLUES_MINOR = ("i7 iv7 i7 i7", "iv7 iv7 i7 i7", "bVI7 V7 i7 V7")
HOUSE_MINOR = (
    "i7 bVImaj7 bIIImaj7 bVII",
    "i7 iv7 i7 bVII",
    "i i bVI bVII",
    "i7 i7 bVImaj7 bVImaj7",
    "i bVII bVI bVII",
)
HOUSE_MAJOR = ("Imaj7 IVmaj7 vi7 V", "I V vi IV", "Imaj7 iii7 IVmaj7 V", "Imaj7 Imaj7 IVmaj7 IVmaj7")
AMBIENT_MAJOR = (
    "Iadd9 Iadd9 IVmaj7 IVmaj7",
    "Imaj7 Imaj7 iii7 IVmaj7",
    "Iadd9 vi7 IVmaj7 Iadd9",
    "Isus2 IVadd9 Isus2 IVadd9",
)
AMBIENT_MINOR = (
    "im9 im9 bVImaj7 bVImaj7",
    "imadd9 iv7 imadd9 bVImaj7",
    "i7 bVImaj7 bIIImaj7 bVII",
    "imadd9 imadd9 bVII bVII",
)
FOLK_MAJOR = ("I IV I V", "I V IV I", "I vi IV V", "I I IV V", "I IV V I", "I bVII IV I")
FOLK_MINOR = ("i bVII i bVII", "i bVI bVII i", "i iv bVII i", "i bIII bVII i", "i bVII bVI bVII")
EPIC_MINOR = ("i bVI bIII bVII", "i bVI iv V", "i bVII bVI V", "i i bVI bVII", "i bIII bVII iv")
EPIC_MAJOR = ("I V vi IV", "I IV bVI bVII", "I iii vi IV", "I bVII IV I", "I IV vi V")
REGGAE_MAJOR = ("I IV I V", "I V vi IV", "I I IV IV", "I ii IV I")
REGGAE_MINOR = ("i iv i iv", "i bVII i bVII", "i i iv V", "i bVI bVII i")
LOFI_MAJOR = ("ii9 V9 Imaj9 vi7", "Imaj9 vi7 ii9 V9", "IVmaj7 iii7 ii7 Imaj7", "Imaj7 iii7 IVmaj7 iv7")
LOFI_MINOR = ("i9 iv9 bVII9 bIIImaj7", "i9 bVImaj7 i9 bVImaj7", "i9 iv9 bVImaj7 V7", "i7 bVImaj7 iim7b5 V7")
METAL = ("I5 bVI5 bVII5 I5", "I5 I5 bVI5 V5", "I5 bIII5 bVII5 IV5", "I5 I5 bII5 I5", "I5 IV5 bVI5 V5")
METAL_MAJOR = ("I5 V5 VI5 IV5", "I5 IV5 V5 I5", "I5 bVII5 IV5 I5")
ROCK_MAJOR = ("I V vi IV", "I IV V IV", "I bVII IV I", "I IV I V", "I vi IV V")
ROCK_MINOR = ("i bVII bVI bVII", "i bVI bIII bVII", "i iv bVII i", "i bIII iv bVI")

BRIDGES: dict[str, dict[str, tuple[str, ...]]] = {
    # What a bridge or a second thought goes through; all lead back to the dominant.
    "classical": {
        "major": ("IV I^3 ii V", "vi V7/ii ii V", "ii V7/V V V7"),
        "minor": ("bIII bVII bVI V", "iv bVII bIII V", "bVI iv V7/V V"),
    },
    "pop": {
        "major": ("vi IV ii V", "IV iv I V", "vi V7/V IV V", "IV V7/vi vi V"),
        "minor": ("bVI bVII bIII V", "iv bVII bIII V", "bVI bIII iv V"),
    },
    "jazz": {
        "major": ("III7 VI7 II7 V7", "IVmaj7 iv7 iii7_VI7 ii7_V7", "iim7/IV V7/IV IVmaj7 V7"),
        "minor": ("iv7 bVII7 bIIImaj7 V7", "bVImaj7 iv7 iim7b5 V7", "iv7 iv7 bVI7 V7"),
    },
    "folk": {"major": ("IV I IV V", "vi IV I V", "ii IV I V"), "minor": ("bIII bVII iv bVII", "bVI bIII iv v")},
    "loop": {
        "major": ("IV V vi V", "ii IV vi V", "IV I bVII V"),
        "minor": ("bVI bVII i v", "iv iv bVI bVII", "bVI bVI bVII bVII"),
    },
    "metal": {"major": ("IV5 I5 IV5 V5", "VI5 IV5 I5 V5"), "minor": ("bVI5 bVII5 IV5 V5", "IV5 IV5 bVI5 bVII5")},
    "blues": {"major": ("IV7 IV7 I7 V7",), "minor": ("iv7 iv7 i7 V7",)},
    "ambient": {
        "major": ("IVmaj7 IVmaj7 Iadd9 Vsus4", "vi7 IVmaj7 vi7 V"),
        "minor": ("bVImaj7 bVImaj7 bVII bVII", "iv7 iv7 bVImaj7 bVII"),
    },
}

CADENCES: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {
    # idiom -> mode -> kind -> the last two bars of a phrase
    "classical": {
        "major": {
            "half": ("ii V", "IV V", "ii^3 V", "I V"),
            "full": ("ii^3_V7 I", "IV_V7 I", "I^5_V7 I", "Vsus4_V7 I"),
            "deceptive": ("ii^3_V7 vi", "IV_V7 vi"),
            "plagal": ("IV I", "iv I"),
        },
        "minor": {
            "half": ("iv V", "iidim^3_V V", "i V"),
            "full": ("iidim^3_V7 i", "iv_V7 i", "i^5_V7 i", "Vsus4_V7 i"),
            "deceptive": ("iv_V7 bVI",),
            "plagal": ("iv i",),
        },
    },
    "pop": {
        "major": {
            "half": ("IV V", "ii Vsus4_V", "IV Vsus4_V"),
            "full": ("IV_V I", "Vsus4_V I", "bVII_IV I"),
            "deceptive": ("IV_V vi",),
            "plagal": ("IV I", "iv I"),
        },
        "minor": {
            "half": ("iv V", "bVI V", "bVI Vsus4_V"),
            "full": ("iv_V i", "bVI_bVII i", "bVI_V i"),
            "deceptive": ("iv_V bVI",),
            "plagal": ("iv i",),
        },
    },
    "jazz": {
        "major": {
            "half": ("ii7 V7", "VI7 ii7_V7"),
            "full": ("ii7_V7 I6", "ii7_V7 Imaj7"),
            "deceptive": ("ii7_V7 iii7",),
            "plagal": ("iv7_bVII7 Imaj7", "IVmaj7_iv7 Imaj7"),
        },
        "minor": {
            "half": ("iim7b5 V7",),
            "full": ("iim7b5_V7 im6", "bVI7_V7 i7"),
            "deceptive": ("iim7b5_V7 bVImaj7",),
            "plagal": ("iv7 im6",),
        },
    },
    "folk": {
        "major": {"half": ("IV V", "I V"), "full": ("IV_V I", "V I"), "deceptive": ("V vi",), "plagal": ("IV I",)},
        "minor": {
            "half": ("i bVII", "bVI bVII"),
            "full": ("bVII i", "iv_bVII i"),
            "deceptive": ("bVII bVI",),
            "plagal": ("iv i",),
        },
    },
    "loop": {
        "major": {"half": ("IV V", "ii V"), "full": ("IV_V I",), "deceptive": ("IV_V vi",), "plagal": ("IV I",)},
        "minor": {
            "half": ("bVI bVII",),
            "full": ("bVI_bVII i", "iv_bVII i"),
            "deceptive": ("bVII bVI",),
            "plagal": ("iv i",),
        },
    },
    "metal": {
        "major": {"half": ("IV5 V5",), "full": ("IV5_V5 I5",), "deceptive": ("V5 VI5",), "plagal": ("IV5 I5",)},
        "minor": {
            "half": ("bVI5 V5",),
            "full": ("bVI5_bVII5 I5", "V5 I5"),
            "deceptive": ("V5 bVI5",),
            "plagal": ("IV5 I5",),
        },
    },
    "blues": {
        "major": {"half": ("I7 V7",), "full": ("V7_IV7 I7",), "deceptive": ("V7 IV7",), "plagal": ("IV7 I7",)},
        "minor": {"half": ("i7 V7",), "full": ("bVI7_V7 i7",), "deceptive": ("V7 iv7",), "plagal": ("iv7 i7",)},
    },
    "ambient": {
        "major": {
            "half": ("IVmaj7 Vsus4",),
            "full": ("Vsus4 Iadd9",),
            "deceptive": ("Vsus4 vi7",),
            "plagal": ("IVmaj7 Iadd9",),
        },
        "minor": {
            "half": ("bVImaj7 bVII",),
            "full": ("bVII imadd9",),
            "deceptive": ("bVII bVImaj7",),
            "plagal": ("bVImaj7 imadd9", "iv7 imadd9"),
        },
    },
}

TONICS: dict[str, dict[str, str]] = {
    "classical": {"major": "I", "minor": "i"},
    "pop": {"major": "I", "minor": "i"},
    "jazz": {"major": "Imaj7", "minor": "i7"},
    "folk": {"major": "I", "minor": "i"},
    "loop": {"major": "I", "minor": "i"},
    "metal": {"major": "I5", "minor": "I5"},
    "blues": {"major": "I7", "minor": "i7"},
    "ambient": {"major": "Iadd9", "minor": "imadd9"},
}
