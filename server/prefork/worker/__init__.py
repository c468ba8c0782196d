"""The worker process: an epoll loop that accepts, reads and answers, and hands complete requests to an executor."""
