#define MACHINE "amd64"
