package main

import (
	"os"
	"runtime"

	"example.com/shop/internal/greeting"
	"example.com/shop/internal/queue"
)

var version = "unknown"

func main() {
	_, _ = os.Stdout.WriteString(greeting.Text + " from worker on " + runtime.GOARCH + " at " + queue.Name + ", " + version + "\n")
}
