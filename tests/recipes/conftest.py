"""Recipes import one another as scripts do: from their own folder."""

import sys

from filemap import ROOT

sys.path.append(str(ROOT / "recipes"))
