"""Prometheus text, parsed strictly, and summed by what a scenario names."""

import re

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (NaN|[+-]Inf|[-+0-9.eE]+)(?: -?[0-9]+)?')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


class Metrics:
    def __init__(self, text):
        self.text, self.samples, self.types, self.helps = text, [], {}, {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                name, kind = line[7:].split(" ")
                assert name not in self.types, f"two TYPE lines for {name}"
                self.types[name] = kind
            elif line.startswith("# HELP "):
                name, _, text = line[7:].partition(" ")
                self.helps[name] = text
            elif line and not line.startswith("#"):
                self.samples.append(self._sample(line))

    @staticmethod
    def _sample(line):
        sample = SAMPLE.fullmatch(line)
        assert sample, f"not a metric: {line!r}"
        labels, at, text = {}, 0, sample[2] or ""
        while at < len(text):
            label = LABEL.match(text, at)
            assert label, f"not a label at {text[at:]!r} in {line!r}"
            labels[label[1]] = re.sub(r'\\[\\"n]', lambda m: ESCAPES[m[0]], label[2])
            at = label.end()
        return sample[1], labels, float(sample[3])

    def matching(self, name, **labels):
        return [value for n, has, value in self.samples
                if n == name and all(_is(has.get(key), wanted) for key, wanted in labels.items())]

    def sum(self, name, **labels):
        """The sum of the series that have these labels; 0 when there is none yet."""
        return sum(self.matching(name, **labels))

    def label_values(self, name, label):
        return {has[label] for n, has, _ in self.samples if n == name and label in has}


def _is(value, wanted):
    if isinstance(wanted, re.Pattern):
        return value is not None and wanted.search(value) is not None
    return value == str(wanted)
