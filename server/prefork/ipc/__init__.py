"""How the processes of one server talk: messages over SOCK_SEQPACKET pairs. Imports only `prefork.errors`."""
