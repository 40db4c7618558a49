"""The pages of the demo."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from flights.views import accounts, airlines, home, partner, trouble, uploads

app_name = "flights"

urlpatterns = [
    path("", home.home, name="home"),
    path("load/", home.load, name="load"),
    path("login/", accounts.DemoLoginView.as_view(), name="login"),
    path("login/as/<slug:username>/", accounts.log_in_as, name="log_in_as"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("airlines/", airlines.airlines, name="airlines"),
    path("airlines/<slug:code>/export/", airlines.export, name="export"),
    path("airlines/<slug:code>/report/", airlines.report, name="report"),
    path("upload/", uploads.upload, name="upload"),
    path("partner/", partner.partner, name="partner"),
    path("partner/<uuid:pk>/", partner.planes, name="planes"),
    path("failure/", trouble.failure, name="failure"),
    path("deploy/", trouble.interruption, name="interruption"),
    path("deploy/start/", trouble.start, name="start"),
    path("deploy/now/", trouble.deploy, name="deploy"),
]
