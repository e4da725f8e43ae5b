"""Failures of API calls that a test plans: errors of AWS, throttling, timeouts and lost replies.

::

    names       the operations and the error codes that can be named
    codes       the errors that are common to all operations, with the evidence for each
    planned     which call fails, and with what (frozen values and pure functions)
    rate        throttling as a token bucket (frozen values and pure functions)
    registry    the planned failures and rate limits of one testbed or server
    requests    which operation a request calls, and with what members
    replies     the bytes of an error, as each protocol of AWS spells it
    delivery    a planned failure as an error of botocore in this process, or as HTTP
"""
