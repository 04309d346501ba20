// Package greeting is shared by all commands.
package greeting

// Text is what they say.
const Text = "hello"
