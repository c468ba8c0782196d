"""A Django application that adds `manage.py prefork`: put "prefork.contrib.django" into INSTALLED_APPS."""
