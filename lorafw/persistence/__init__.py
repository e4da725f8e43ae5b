"""The state of `lorafw serve --state-dir`, kept in a folder.

``folder`` checks and locks the folder. ``database`` holds an SQLite database in it. ``service_store`` saves the update
service. ``request_journal`` saves the requests that changed moto's S3, IAM, STS, IoT and KMS, and ``replay`` makes moto
answer them again after a restart. ``kept_state`` puts these parts together.
"""
