/**
 * The line above the list of mails, and the marks in Sent. The texts come from mojomail_status.php.
 */
(function () {
    'use strict';

    /** @param {{link: string, parts: string[], trouble: (string[]|undefined)}} line */
    function show(line) {
        var bar = document.getElementById('mojomail-status');
        if (!bar) {
            var list = document.getElementById('messagelist-content');
            if (!list) {
                return;
            }
            bar = document.createElement('div');
            bar.id = 'mojomail-status';
            bar.setAttribute('role', 'status');
            list.parentNode.insertBefore(bar, list);
        }
        bar.className = 'link-' + line.link;
        bar.textContent = '';
        line.parts.forEach(function (part) {
            bar.appendChild(element('span', 'part', part));
        });
        (line.trouble || []).forEach(function (text) {
            bar.appendChild(element('div', 'trouble', text));
        });
    }

    function element(tag, name, text) {
        var made = document.createElement(tag);
        made.className = name;
        made.textContent = text;
        return made;
    }

    /** A mail of Sent that has not left: its state before the subject. */
    function mark(event) {
        var message = rcmail.env.messages && rcmail.env.messages[event.uid],
            state = message && message.flags && message.flags.mojomail,
            subject = state && event.row.obj.querySelector('td.subject span.subject');
        if (subject) {
            event.row.obj.classList.add('mojomail-' + state);
            subject.insertBefore(element('span', 'mojomail-mark', rcmail.env.mojomail_marks[state] || state), subject.firstChild);
        }
    }

    if (window.rcmail) {
        rcmail.addEventListener('init', function () {
            if (rcmail.env.mojomail_status) {
                show(rcmail.env.mojomail_status);
            }
        });
        rcmail.addEventListener('plugin.mojomail_status', show);
        rcmail.addEventListener('insertrow', mark);
    }
})();
