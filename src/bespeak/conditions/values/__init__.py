"""Values and how they compare: texts, dates, versions, patterns, places, clocks, and what fades."""
