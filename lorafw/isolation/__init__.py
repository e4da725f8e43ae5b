"""What lorafw's own clients and the user's code may reach.

::

    sessions    boto3 sessions of lorafw's own, which read no variable and no file
    settings    the user's settings, put aside while a testbed is open
    reach       where a request may go: to the testbed, to the network, or nowhere
    answers     what the testbed answers, wherever a request was addressed to
    deliveries  what moto itself may send while it answers
    guard       everything that botocore sends goes through here while a testbed is open
"""
