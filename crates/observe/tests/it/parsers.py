"""Parses what `/metrics` answers with the parsers of Python's prometheus_client; prints what each saw as one JSON object.

Arguments: file with OpenMetrics text, file with the text format 0.0.4.
"""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus


def seen(parse, path):
    with open(path) as file:
        families = list(parse(file.read()))
    samples = {
        sample.name + "".join(f"|{name}={value}" for name, value in sorted(sample.labels.items())): str(float(sample.value))
        for family in families
        for sample in family.samples
    }
    return {"types": {family.name: family.type for family in families}, "samples": samples}


print(json.dumps({"open_metrics": seen(open_metrics, sys.argv[1]), "prometheus": seen(prometheus, sys.argv[2])}))
