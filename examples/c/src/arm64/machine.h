#define MACHINE "arm64"
