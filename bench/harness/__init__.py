"""The comparison with other servers: who takes part, what they are asked, what is counted, how it is told."""
