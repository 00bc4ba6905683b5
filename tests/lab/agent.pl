# The far end of control.py: runs commands in the machine. Read into memory by the loader that control.py puts
# on the kernel's command line; F is the open port. Perl, because perl-base is in every Debian and python is not.
# A line each way is "sum word word ...\n": sum is that of the bytes after the blank (so that a torn line is
# dropped), and what may hold any byte is in hexadecimal, "-" when empty.
#   run ID AGE SECONDS COMMAND STDIN    ->   done ID CODE STDOUT STDERR    (code "late": killed at its limit)
#   hello ID AGE                        ->   here ID
#   begin ID AGE                        ->   here ID
# What is of another age than the last that began here is dropped: when the machine goes back to a snapshot, a
# request that was on its way reaches it in an age that is past.
use strict;
use warnings;
use POSIX ();

my ( $waiting, $age, %jobs ) = ('');
my ( $ended, $child_ended );
pipe( $ended, $child_ended ) or die "pipe: $!";
$SIG{CHLD} = sub { syswrite $child_ended, 'x' };
$SIG{PIPE} = 'IGNORE';
%ENV = ( HOME => '/root', PATH => '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' );
@ENV{qw(LANG TERM SYSTEMD_COLORS SYSTEMD_PAGER)} = qw(C.UTF-8 dumb 0 cat);

sub say_line {
    my $line = join ' ', @_;
    $line = "\n" . unpack( '%32C*', $line ) . " $line\n";
    my $at = 0;
    while ( $at < length $line ) {
        my $count = syswrite F, $line, length($line) - $at, $at;
        if    ( defined $count ) { $at += $count }
        elsif ( !$!{EINTR} )     { exit 1 }
    }
}

# An open file without a name, on the file system that is there from the first moment.
sub scratch {
    my $path = '/run/lab-control.' . join '.', $$, @_;
    open my $file, '+>', $path or die "$path: $!";
    unlink $path;
    binmode $file;
    return $file;
}

sub contents {
    my ($file) = @_;
    seek $file, 0, 0;
    local $/;
    my $bytes = <$file>;
    return defined $bytes && length $bytes ? unpack( 'H*', $bytes ) : '-';
}

sub begin {
    my ( $id, $limit, $command, $stdin ) = @_;
    my @files = map { scratch( $id, $_ ) } 0 .. 2;
    syswrite $files[0], pack( 'H*', $stdin ) if $stdin ne '-';
    seek $files[0], 0, 0;
    my $pid = fork;
    die "fork: $!" if !defined $pid;
    if ( !$pid ) {
        POSIX::setsid();
        $SIG{$_} = 'DEFAULT' for qw(CHLD PIPE);
        POSIX::dup2( fileno( $files[$_] ), $_ ) for 0 .. 2;
        chdir '/';
        { exec '/bin/bash', '-o', 'pipefail', '-c', pack( 'H*', $command ) }
        POSIX::_exit(127);
    }
    $jobs{$pid} = { id => $id, until => clock() + $limit, out => $files[1], err => $files[2], code => undef };
}

sub clock { return ( POSIX::times() )[0] / POSIX::sysconf( POSIX::_SC_CLK_TCK() ) }

sub reap {
    while ( ( my $pid = waitpid -1, POSIX::WNOHANG() ) > 0 ) {
        my $job = delete $jobs{$pid} or next;
        my $code = $? & 127 ? 128 + ( $? & 127 ) : $? >> 8;
        say_line( 'done', $job->{id}, $job->{late} ? 'late' : $code, contents( $job->{out} ), contents( $job->{err} ) );
    }
    for my $pid ( keys %jobs ) {
        next if $jobs{$pid}{late} || clock() < $jobs{$pid}{until};
        $jobs{$pid}{late} = 1;
        kill 'KILL', -$pid, $pid;
    }
}

sub obey {
    my ($line) = @_;
    my ( $sum, $rest ) = $line =~ /^(\d+) (.+)$/ or return;
    return if unpack( '%32C*', $rest ) != $sum;
    my ( $word, $id, $its_age, @words ) = split / /, $rest;
    $age = $its_age if $word eq 'begin' || !defined $age;
    return if $age ne $its_age;
    if ( $word eq 'run' ) {
        eval { begin( $id, @words ); 1 } or say_line( 'done', $id, 126, '-', unpack 'H*', $@ );
    }
    else { say_line( 'here', $id ) }
}

say_line('ready');
while (1) {
    my $ready = '';
    vec( $ready, fileno($_), 1 ) = 1 for \*F, $ended;
    my ($soonest) = sort { $a <=> $b } map { $_->{until} } grep { !$_->{late} } values %jobs;
    my $patience = defined $soonest ? $soonest - clock() : undef;
    $patience = 0 if defined $patience && $patience < 0;
    if ( select( $ready, undef, undef, $patience ) > 0 ) {
        sysread $ended, my $marks, 4096 if vec $ready, fileno($ended), 1;
        if ( vec $ready, fileno(F), 1 ) {
            my $count = sysread F, $waiting, 1 << 16, length $waiting;
            exit 1 if !$count && !$!{EINTR};
            while ( ( my $end = index $waiting, "\n" ) >= 0 ) {
                obey( substr $waiting, 0, $end );
                substr( $waiting, 0, $end + 1 ) = '';
            }
        }
    }
    reap();
}
