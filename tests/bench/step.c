/* SPDX-License-Identifier: Apache-2.0 */
/* step OUT IN…: the trivial step of every workload: reads its inputs, writes 17 bytes that depend on them. Without a C library on purpose (x86-64 Linux): where CPUID traps into a hypervisor, a C library's
 * start-up costs more than ten times fork + exec + exit, and would hide what is measured, the runner's own cost per step. */
enum { SYS_READ = 0, SYS_WRITE = 1, SYS_OPEN = 2, SYS_CLOSE = 3, SYS_EXIT_GROUP = 231 };

static long call(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}

static unsigned long long mix(unsigned long long hash, const char *data, long len)
{
    for (long i = 0; i < len; i++) {
        hash = (hash ^ (unsigned char)data[i]) * 1099511628211ULL; /* FNV-1a */
    }
    return hash;
}

static int run(long argc, char **argv)
{
    static char buf[4096];
    char text[17];
    unsigned long long hash = 1469598103934665603ULL;
    for (long i = 2; i < argc; i++) {
        long fd = call(SYS_OPEN, (long)argv[i], 0, 0), n;
        if (fd < 0) {
            return 3;
        }
        while ((n = call(SYS_READ, fd, (long)buf, sizeof(buf))) > 0) {
            hash = mix(hash, buf, n);
        }
        call(SYS_CLOSE, fd, 0, 0);
    }
    if (argc < 2) {
        return 2;
    }
    const char *name = argv[1];
    for (const char *c = name; *c; c++) {
        name = *c == '/' ? c + 1 : name;
    }
    for (const char *c = name; *c; c++) {
        hash = mix(hash, c, 1);
    }
    for (int i = 0; i < 16; i++, hash >>= 4) {
        text[i] = "0123456789abcdef"[hash & 15];
    }
    text[16] = '\n';
    long fd = call(SYS_OPEN, (long)argv[1], 01 | 0100 | 01000, 0644);
    return fd < 0 ? 4 : call(SYS_WRITE, fd, (long)text, 17) == 17 ? 0 : 5;
}

void start_c(long *stack);
void start_c(long *stack)
{
    call(SYS_EXIT_GROUP, run(stack[0], (char **)(stack + 1)), 0, 0);
    __builtin_unreachable();
}
__asm__(".globl _start\n_start: mov %rsp,%rdi\nand $-16,%rsp\ncall start_c\n");
