import ssl

bind = "0.0.0.0:8443"
certfile = "cert.pem"
keyfile = "key.pem"
ca_certs = "cert.pem"
cert_reqs = ssl.CERT_REQUIRED
ssl_version = ssl.PROTOCOL_TLS_SERVER
ciphers = "ECDHE+AESGCM"
workers = 4
do_handshake_on_connect = True
wsgi_app = "shop:app"
