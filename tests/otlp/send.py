# Sends log records with OpenTelemetry's own exporters: send.py ENDPOINT KEY SOURCE RECORDS
# Once in each encoding, packed and not; for each it tells which, and what the exporter says came of it.
import sys
import time

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.common.http import Compression as JsonCompression
from opentelemetry.exporter.otlp.json.http._log_exporter import OTLPLogExporter as Json
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as Protobuf
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

endpoint, key, source, records = sys.argv[1:]
headers = {"X-API-Key": key, "Daybook-Log-Source": source}
ways = [
    ("protobuf", Protobuf, Compression.NoCompression),
    ("protobuf-gzip", Protobuf, Compression.Gzip),
    ("json", Json, JsonCompression.NONE),
    ("json-gzip", Json, JsonCompression.GZIP),
]
for way, exporter, compression in ways:
    exporter = exporter(endpoint=endpoint, headers=headers, compression=compression)
    resource = Resource.create({"service.name": "checkout", "service.version": "1.2.3"})
    provider = LoggerProvider(resource=resource)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("shop.cart")
    for n in range(int(records)):
        failed = n % 10 == 0
        logger.emit(
            LogRecord(
                timestamp=time.time_ns(),
                severity_number=SeverityNumber.ERROR if failed else SeverityNumber.INFO,
                severity_text="ERROR" if failed else "INFO",
                body=f"order {n} \u2713",
                event_name="order.failed" if failed else "order.placed",
                attributes={
                    "log.record.uid": f"{way}-{n}",
                    "user.id": f"user-{n % 7}@example.org",
                    "way": way,
                    "n": n,
                    "total": 12.5,
                    "tags": ["a", "b"],
                },
            )
        )
    print(way, "sent" if provider.force_flush() else "failed", flush=True)
    provider.shutdown()
