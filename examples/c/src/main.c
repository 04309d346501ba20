#include <stdio.h>

#include "greeting.h"
#include "machine.h"

int main(void) {
    printf("%s from C on %s, %s\n", greeting(), MACHINE, VERSION);
    return 0;
}
