"""Model answers over Server-Sent Events: send, regenerate, attach, stop, and a probe."""
