"""The Autobahn test suite's fuzzing client against an application that echoes (RFC 6455, RFC 7692)."""
