"""Failures of API calls that a test plans: errors of AWS, throttling, timeouts and lost replies.

::

    names       the operations and the error codes that can be named
    codes       the errors that are common to all operations, with the evidence for each
    planned     which call fails, and with what
    rate        throttling with token buckets
    arguments   checks what a test asks for
    registry    the planned failures and rate limits of one testbed or server
    requests    which operation a request calls, and with what members
    replies     the bytes of an error, as each protocol of AWS spells it
    in_process  a planned failure as a reply or an error of botocore in this process
    over_http   a planned failure over HTTP
"""
