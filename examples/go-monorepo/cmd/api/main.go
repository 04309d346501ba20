package main

import (
	"os"
	"runtime"

	"example.com/shop/internal/greeting"
)

var version = "unknown"

func main() {
	_, _ = os.Stdout.WriteString(greeting.Text + " from api on " + runtime.GOARCH + ", " + version + "\n")
}
