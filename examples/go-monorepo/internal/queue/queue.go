// Package queue is the worker's alone.
package queue

// Name is where it takes its work.
const Name = "orders"
