bind = ['127.0.0.1:8003', '[::1]:8003']
bind.append('unix:run.sock')
workers = 2
worker_class = 'gevent'
worker_connections = 500
forwarded_allow_ips = '*'
proxy_protocol = True
proxy_allow_ips = '10.0.0.0/8'
limit_request_line = 0
limit_request_fields = 50
limit_request_field_size = 4096
wsgi_app = 'app'
