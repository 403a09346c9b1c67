from __future__ import annotations

import subprocess
import sys

from prometheus_client.parser import text_string_to_metric_families

from realtime.server.metrics import CONTENT_TYPE, Metrics


def samples(metrics: Metrics) -> dict[str, float]:
    return {
        sample.name + "".join(f"[{value}]" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_what_is_counted_is_shown() -> None:
    metrics = Metrics("1.2.3")
    metrics.prediction(0.012)
    metrics.prediction(0.7)
    metrics.dropped_samples(480)
    metrics.dropped_messages(3)
    metrics.subscribers(5)
    metrics.subscribers(4)
    metrics.senders(2)
    metrics.refused("token")
    metrics.refused("token")
    metrics.refused("origin")
    metrics.rate_limited()
    metrics.audio_s(1.5)
    metrics.audio_s(0.25)
    shown = samples(metrics)
    assert shown["tonewatch_info[1.2.3]"] == 1
    assert shown["tonewatch_prediction_latency_seconds_count"] == 2
    assert shown["tonewatch_prediction_latency_seconds_sum"] == 0.712
    assert shown["tonewatch_prediction_latency_seconds_bucket[0.01]"] == 0
    assert shown["tonewatch_prediction_latency_seconds_bucket[0.02]"] == 1
    assert shown["tonewatch_prediction_latency_seconds_bucket[+Inf]"] == 2
    assert shown["tonewatch_dropped_samples_total"] == 480
    assert shown["tonewatch_dropped_messages_total"] == 3
    assert shown["tonewatch_subscribers"] == 4
    assert shown["tonewatch_senders"] == 2
    assert shown["tonewatch_refused_total[token]"] == 2
    assert shown["tonewatch_refused_total[origin]"] == 1
    assert shown["tonewatch_rate_limited_total"] == 1
    assert shown["tonewatch_audio_seconds_total"] == 1.75


def test_every_metric_has_a_meaning_and_a_name_of_its_own() -> None:
    for family in text_string_to_metric_families(Metrics().render().decode()):
        assert family.name.startswith(("tonewatch", "process_"))
        assert family.documentation


def test_each_server_counts_for_itself() -> None:
    one, other = Metrics(), Metrics()
    one.rate_limited()
    assert samples(one)["tonewatch_rate_limited_total"] == 1
    assert samples(other)["tonewatch_rate_limited_total"] == 0


def test_the_type_is_that_of_the_library() -> None:
    from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

    assert CONTENT_TYPE == CONTENT_TYPE_PLAIN_0_0_4


def test_importing_it_is_cheap() -> None:
    code = "import sys, realtime.server.metrics; print('prometheus_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
