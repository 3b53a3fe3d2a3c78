"""Chord progressions by tradition, as Roman numerals: one bar per word, two chords in a bar joined by "_"."""

POP_MAJOR = ("I V vi IV", "I vi IV V", "I IV vi V", "vi IV I V", "I iii IV V", "I IV I V")
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
HOUSE_MAJOR = ("IVmaj7 Imaj7 vi7 V", "I V vi IV", "ii7 iii7 IVmaj7 V", "Imaj7 Imaj7 IVmaj7 IVmaj7")
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
EPIC_MAJOR = ("I V vi IV", "I IV bVI bVII", "I iii vi IV", "I bVII IV I", "IV V vi I")
REGGAE_MAJOR = ("I IV I V", "I V vi IV", "I I IV IV", "I ii IV I")
REGGAE_MINOR = ("i iv i iv", "i bVII i bVII", "i i iv V", "i bVI bVII i")
LOFI_MAJOR = ("ii9 V9 Imaj9 vi7", "Imaj9 vi7 ii9 V9", "IVmaj7 iii7 ii7 Imaj7", "Imaj7 iii7 IVmaj7 iv7")
LOFI_MINOR = ("i9 iv9 bVII9 bIIImaj7", "i9 bVImaj7 i9 bVImaj7", "iv9 bVII9 bIIImaj7 i9", "i7 bVImaj7 iim7b5 V7")
METAL = ("I5 bVI5 bVII5 I5", "I5 I5 bVI5 V5", "I5 bIII5 bVII5 IV5", "I5 I5 bII5 I5", "I5 IV5 bVI5 V5")
METAL_MAJOR = ("I5 V5 VI5 IV5", "I5 IV5 V5 I5", "I5 bVII5 IV5 I5")
ROCK_MAJOR = ("I V vi IV", "I IV V IV", "I bVII IV I", "I IV I V", "vi IV I V")
ROCK_MINOR = ("i bVII bVI bVII", "i bVI bIII bVII", "i iv bVII i", "i bIII iv bVI")
