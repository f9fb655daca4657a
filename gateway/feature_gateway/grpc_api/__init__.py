"""The gRPC API: messages to questions, answers to messages, exceptions to statuses."""
