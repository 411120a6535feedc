"""What people run: command line, server, web UI, report, bulk prediction, benchmarks."""
